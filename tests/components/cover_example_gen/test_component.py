from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from components.contracts.label_schema import FEATURE_KEYS
from components.cover_example_gen import ingest as module
from components.cover_example_gen import rows, shards
from components.cover_example_gen.config import IngestConfig
from components.cover_example_gen.fingerprint import fingerprint_data
from components.cover_example_gen.plan import Plan, Shard, plan_shards
from components.support.compat import LOCAL_BEAM_ARGS
from components.support.errors import DataError

Write = Callable[..., Path]
Ingest = Callable[..., Any]

TWO_BEAM_WORKERS = (
    LOCAL_BEAM_ARGS[0],
    "--direct_running_mode=multi_threading",
    "--direct_num_workers=2",
)


@pytest.fixture
def folder(tmp_path: Path, write_cover: Write, labels) -> Path:
    root = tmp_path / "by_genre"
    for seed in range(60):
        write_cover(root / labels.genres[seed % 5] / f"{seed:02d}.jpg", seed)
    for seed in range(0, 60, 10):
        write_cover(root / "jazz" / f"again-{seed:02d}.jpg", seed)
    return root


@pytest.fixture
def manifest(tmp_path: Path, folder: Path, labels) -> Path:
    lines = ["image,genres"]
    for seed in range(60):
        genres = {labels.genres[seed % 5]} | ({"jazz"} if seed % 10 == 0 else set())
        path = f"by_genre/{labels.genres[seed % 5]}/{seed:02d}.jpg"
        lines.append(f"{path},{'|'.join(sorted(genres))}")
    path = tmp_path / "labels.csv"
    path.write_text("\n".join(lines) + "\n")
    return path


def _labels_and_splits(examples) -> dict[str, tuple[str, tuple[bytes, ...], tuple[float, ...]]]:
    return {
        image_id: (
            split,
            tuple(example.features.feature["genres"].bytes_list.value),
            tuple(example.features.feature["label"].float_list.value),
        )
        for image_id, (split, example) in examples.items()
    }


def test_folder_and_manifest_give_the_same_examples(
    folder: Path, manifest: Path, ingest: Ingest
) -> None:
    from_folder, from_manifest = ingest(folder), ingest(manifest)
    assert _labels_and_splits(from_folder.examples()) == _labels_and_splits(
        from_manifest.examples()
    )
    summary = from_folder.summary
    assert (summary.rows_given, summary.rows_ingested, summary.examples) == (66, 66, 60)
    assert summary.rows_merged == summary.united_labels == 6
    summary = from_manifest.summary
    assert (summary.rows_given, summary.examples, summary.united_labels) == (60, 60, 0)


def test_an_example_has_every_feature_and_the_original_bytes(folder: Path, ingest: Ingest) -> None:
    for _, example in ingest(folder).examples().values():
        feature = example.features.feature
        assert set(feature) == set(FEATURE_KEYS)
        paths = [path.decode() for path in feature["image/path"].bytes_list.value]
        assert feature["image/encoded"].bytes_list.value[0] == (folder / paths[0]).read_bytes()
        assert {path.split("/")[0] for path in paths} == {
            genre.decode() for genre in feature["genres"].bytes_list.value
        }


def test_near_duplicates_share_a_split(folder: Path, write_cover: Write, ingest: Ingest) -> None:
    for seed in range(60):
        write_cover(folder / "pop" / f"re-issue-{seed:02d}.jpg", seed, side=140, quality=60)
    result = ingest(folder)
    examples = result.examples()
    assert len(examples) == 120
    assert (result.summary.near_duplicate_groups, result.summary.near_duplicates) == (60, 120)
    splits_of_group: dict[bytes, set[str]] = {}
    for split, example in examples.values():
        group = example.features.feature["image/group"].bytes_list.value[0]
        splits_of_group.setdefault(group, set()).add(split)
    assert all(len(splits) == 1 for splits in splits_of_group.values())


@pytest.mark.parametrize(
    ("beam_args", "options"),
    [
        (LOCAL_BEAM_ARGS, {"workers": 1}),
        (LOCAL_BEAM_ARGS, {"workers": 2}),
        (TWO_BEAM_WORKERS, {"workers": 1}),
    ],
)
def test_the_same_input_gives_the_same_bytes_whatever_the_workers(
    beam_args: tuple[str, ...], options: dict[str, int], folder: Path, ingest: Ingest
) -> None:
    usual = ingest(folder, workers=1)
    again = ingest(folder, beam_args=beam_args, **options)
    assert len(usual.shards()) == 4
    assert usual.shards() == again.shards()
    assert usual.summary == again.summary


@pytest.mark.parametrize("beam_args", [LOCAL_BEAM_ARGS, TWO_BEAM_WORKERS])
def test_the_same_input_gives_the_same_bytes_whatever_is_done_at_once(
    beam_args: tuple[str, ...], folder: Path, ingest: Ingest, monkeypatch: pytest.MonkeyPatch
) -> None:
    (folder / "jazz" / "empty.jpg").touch()
    usual = ingest(folder, workers=1)
    monkeypatch.setattr(module, "_ROWS_PER_BATCH", 16)
    monkeypatch.setattr(module, "_ROWS_PER_TASK", 7)
    monkeypatch.setattr(module, "_SHARDS_PER_THREAD", 1)
    monkeypatch.setattr(rows, "_BYTES_AT_ONCE", 20_000)
    monkeypatch.setattr(shards, "_BYTES_AT_ONCE", 20_000)
    again = ingest(folder, beam_args=beam_args, workers=2)
    assert usual.shards() == again.shards()
    assert usual.summary == again.summary
    assert usual.quarantined.equals(again.quarantined)


@pytest.mark.parametrize(
    ("options", "files"),
    [({"shards": 3}, 9), ({"examples_per_shard": 10_000}, 3), ({"examples_per_shard": 1}, 60)],
)
def test_shard_count_and_size_are_chosen(
    options: dict[str, int], files: int, folder: Path, ingest: Ingest
) -> None:
    result = ingest(folder, **options)
    assert len(result.shards()) == files
    assert _labels_and_splits(result.examples()) == _labels_and_splits(ingest(folder).examples())


def test_files_that_change_during_ingest_stop_it(
    folder: Path, ingest: Ingest, monkeypatch: pytest.MonkeyPatch
) -> None:
    def change_a_file(plan: Plan, config: IngestConfig) -> list[Shard]:
        (folder / "rock" / "04.jpg").write_bytes(b"changed")
        return plan_shards(plan, config)

    monkeypatch.setattr("components.cover_example_gen.ingest.plan_shards", change_a_file)
    with pytest.raises(DataError, match=r"1 that changed, the first 'rock/04\.jpg'"):
        ingest(folder)


def test_the_fingerprint_follows_content_not_time(folder: Path, write_cover: Write) -> None:
    before = fingerprint_data(folder)
    cover = folder / "rock" / "04.jpg"
    cover.touch()
    assert fingerprint_data(folder) == before
    write_cover(cover, 1000)
    assert fingerprint_data(folder) != before


def test_the_fingerprint_opens_nothing_that_could_block(folder: Path) -> None:
    before = fingerprint_data(folder)
    os.mkfifo(folder / "rock" / "fifo.jpg")
    assert fingerprint_data(folder) != before


def test_the_account_is_readable_as_json(folder: Path, ingest: Ingest) -> None:
    account = json.loads((ingest(folder).folder / "quarantine" / "summary.json").read_text())
    assert account["examples"] == sum(account["examples_by_split"].values()) == 60
