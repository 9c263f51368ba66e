from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from components.cover_example_gen.config import IngestConfig
from components.cover_example_gen.fingerprint import fingerprint_data
from components.cover_example_gen.spans import select_spans
from components.support.errors import ConfigError

Write = Callable[..., Path]
Ingest = Callable[..., Any]

PER_SPAN = 20


@pytest.fixture(scope="module")
def spans(tmp_path_factory: pytest.TempPathFactory, write_cover: Write) -> Path:
    """Three spans of distinct covers: the second is a manifest, the others are folders."""
    root = tmp_path_factory.mktemp("spans") / "data"
    for number in (1, 2, 3):
        for seed in range(PER_SPAN):
            genre = "rock" if seed % 2 else "pop"
            write_cover(root / f"span-{number}" / genre / f"{seed}.jpg", 100 * number + seed)
    files = sorted((root / "span-2").rglob("*.jpg"))
    rows = [f"{file.relative_to(root / 'span-2')},{file.parent.name}" for file in files]
    (root / "span-2" / "labels.csv").write_text("image,genres\n" + "\n".join(rows) + "\n")
    (root / "span-x").mkdir()
    (root / "README.md").touch()
    return root


@pytest.mark.parametrize(
    ("choice", "history", "taken"),
    [
        ("newest", [1, 2], [3]),
        ("all", [], [1, 2, 3]),
        (2, [1], [2]),
        (1, [], [1]),
        ((2, 3), [1], [2, 3]),
        ((2, 9), [1], [2, 3]),
    ],
)
def test_spans_are_chosen(choice: Any, history: list[int], taken: list[int], spans: Path) -> None:
    for data in (spans, spans / "span-{SPAN}", str(spans / "span-{SPAN}")):
        selection = select_spans(data, IngestConfig(span=choice))
        assert [span.number for span in selection.history] == history
        assert [span.number for span in selection.taken] == taken


def test_numbers_order_spans_not_names(tmp_path: Path, write_cover: Write) -> None:
    for number in (2, 10, 9):
        write_cover(tmp_path / f"batch_{number}_eu" / "rock" / "a.jpg", number)
    selection = select_spans(tmp_path / "batch_{SPAN}_eu", IngestConfig(span="newest"))
    assert [span.number for span in selection.spans] == [2, 9, 10]
    assert selection.taken[0].source.name == "batch_10_eu"


@pytest.mark.parametrize(
    ("choice", "message"),
    [(7, "Received: the spans 1, 2, 3"), ((4, 5), "Expected span 4 to 5")],
)
def test_spans_that_are_not_there_are_an_error(choice: Any, message: str, spans: Path) -> None:
    with pytest.raises(ConfigError, match=message):
        select_spans(spans, IngestConfig(span=choice))


def test_patterns_and_folders_that_are_ambiguous_are_an_error(spans: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="Received: none"):
        select_spans(spans / "day-{SPAN}", IngestConfig(span="newest"))
    with pytest.raises(ConfigError, match="once, in the last part"):
        select_spans(spans / "{SPAN}" / "covers", IngestConfig(span="newest"))
    with pytest.raises(ConfigError, match="without spans"):
        select_spans(spans / "span-1", IngestConfig(span=1))
    (tmp_path / "span-1").mkdir()
    (tmp_path / "span-01").mkdir()
    with pytest.raises(ConfigError, match=r"several numbered \[1\]"):
        select_spans(tmp_path, IngestConfig(span="newest"))


def test_the_newest_span_becomes_examples_and_the_previous_one_statistics(
    spans: Path, ingest: Ingest
) -> None:
    result = ingest(spans)
    examples = result.examples()
    paths = {_path(example) for _, example in examples.values()}
    assert len(examples) == PER_SPAN
    assert {path.split("/")[0] for path in paths} == {"span-3"}
    assert result.split_names == '["train", "eval", "test", "newest_span", "previous_span"]'
    for split, number in (("newest_span", 3), ("previous_span", 2)):
        records = result.records(split)
        assert len(records) == PER_SPAN
        assert all("image/encoded" not in record.features.feature for record in records)
        assert {_path(record).split("/")[0] for record in records} == {f"span-{number}"}
    summary = result.summary
    assert (summary.source, summary.spans, summary.previous_span) == ("span-3", (3,), 2)
    assert summary.drift_examples == (PER_SPAN, PER_SPAN)
    assert summary.rows_given == summary.examples == PER_SPAN


def test_the_first_span_has_nothing_to_drift_from(spans: Path, ingest: Ingest) -> None:
    result = ingest(spans, span=1)
    assert result.split_names == '["train", "eval", "test"]'
    assert result.summary.drift_examples == ()


def test_a_range_is_compared_by_its_newest_span(spans: Path, ingest: Ingest) -> None:
    result = ingest(spans, span=(1, 2))
    assert result.summary.examples == 2 * PER_SPAN
    assert (result.summary.spans, result.summary.previous_span) == ((1, 2), 1)
    assert result.summary.source == "span-1, span-2/labels.csv"


def test_an_existing_cover_keeps_its_split_when_spans_arrive(
    spans: Path, tmp_path: Path, write_cover: Write, ingest: Ingest
) -> None:
    """The fourth span brings a near-duplicate of every cover that came before."""
    root = tmp_path / "data"
    shutil.copytree(spans, root)
    before = ingest(root, span="all").examples()
    for number in (1, 2, 3):
        for seed in range(PER_SPAN):
            copy = root / "span-4" / "rock" / f"{number}-{seed}.jpg"
            write_cover(copy, 100 * number + seed, side=140, quality=70)
    after = ingest(root, span="all")
    examples = after.examples()
    for image_id, (split, example) in before.items():
        assert examples[image_id][0] == split
        assert _group(examples[image_id][1]) == _group(example)
    assert after.summary.rows_quarantined == 0
    assert after.summary.near_duplicate_groups == 3 * PER_SPAN
    newest = ingest(root).examples()
    assert len(newest) == 3 * PER_SPAN
    assert {_group(example) for _, example in newest.values()} == {
        _group(example) for _, example in before.values()
    }
    for split, example in newest.values():
        assert split == next(s for s, e in before.values() if _group(e) == _group(example))


def test_a_cover_between_two_splits_is_quarantined_with_its_neighbours(
    tmp_path: Path, draw_cover: Callable[..., Any], write_cover: Write, ingest: Ingest
) -> None:
    """Blends of two covers step by step: the ends are strangers, the middle is near both."""
    from PIL import Image

    root = tmp_path / "data"
    ends = {}
    for seed in range(12):
        write_cover(root / "span-1" / "rock" / f"{seed}.jpg", seed)
    for image_id, (split, example) in ingest(root).examples().items():
        ends.setdefault(split, (image_id, int(Path(_path(example)).stem)))
    (left_id, left), (right_id, right) = ends["train"], ends["test"]
    chain = root / "span-2" / "rock"
    chain.mkdir(parents=True)
    for step in range(1, 16):
        blend = Image.blend(draw_cover(left), draw_cover(right), step / 16)
        blend.save(chain / f"{step:02d}.jpg", quality=90)
    result = ingest(root)
    assert set(result.quarantined["reason"]) == {"between_splits"}
    assert result.summary.rows_quarantined == 15
    detail = result.quarantined["detail"][0]
    assert f"{left_id[:12]} (train)" in detail
    assert f"{right_id[:12]} (test)" in detail


def test_mending_a_label_renames_no_group(
    tmp_path: Path, write_cover: Write, ingest: Ingest
) -> None:
    for seed in range(8):
        write_cover(tmp_path / "rock" / f"{seed}.jpg", seed)
        write_cover(tmp_path / "polka" / f"{seed}.jpg", seed, side=140)
    before = {i: _group(e) for i, (_, e) in ingest(tmp_path).examples().items()}
    (tmp_path / "polka").rename(tmp_path / "pop")
    after = {i: _group(e) for i, (_, e) in ingest(tmp_path).examples().items()}
    assert len(after) == 2 * len(before)
    assert {image_id: after[image_id] for image_id in before} == before


def test_the_fingerprint_follows_the_spans_that_matter(spans: Path, tmp_path: Path) -> None:
    root = tmp_path / "data"
    shutil.copytree(spans, root)
    newest, second = fingerprint_data(root), fingerprint_data(root, IngestConfig(span=2))
    assert newest != second
    (root / "span-1" / "pop" / "0.jpg").write_bytes(b"changed")
    assert fingerprint_data(root) != newest
    assert fingerprint_data(root, IngestConfig(span=2)) != second
    second = fingerprint_data(root, IngestConfig(span=2))
    shutil.rmtree(root / "span-3")
    assert fingerprint_data(root, IngestConfig(span=2)) == second


def _path(example: Any) -> str:
    return example.features.feature["image/path"].bytes_list.value[0].decode()


def _group(example: Any) -> bytes:
    return example.features.feature["image/group"].bytes_list.value[0]
