"""What a person decided about labels changes what is ingested, and nothing else."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from components.cover_example_gen.config import IngestConfig
from components.support.errors import ConfigError

Draw = Callable[..., Image.Image]
Ingest = Callable[..., Any]
HEADER = "cover,genre,given,probability,reason,decision,id\n"


@pytest.fixture
def data(tmp_path: Path, draw_cover: Draw) -> Path:
    """Covers, one of them in two files, and one again in another coding with another genre."""
    folder = tmp_path / "covers"
    folder.mkdir()
    rows = [("image", "genres")]
    for n in range(20):
        draw_cover(n, 200).save(folder / f"{n}.jpg", quality=90)
        rows.append((f"{n}.jpg", "pop|rock" if n == 0 else ("pop", "rock", "jazz")[n % 3]))
    (folder / "again.jpg").write_bytes((folder / "1.jpg").read_bytes())
    draw_cover(0, 200).save(folder / "copy.jpg", quality=50)
    draw_cover(30, 200).save(folder / "unlabelled.jpg")
    rows += [("again.jpg", "jazz"), ("copy.jpg", "pop"), ("unlabelled.jpg", "")]
    with (folder / "labels.csv").open("w", newline="") as file:
        csv.writer(file).writerows(rows)
    return folder


@pytest.fixture
def decide(tmp_path: Path) -> Callable[..., Path]:
    """Returns a function that writes decisions (cover, genre, decision), and what holds them."""

    def write(*decisions: tuple[str, ...], header: str = HEADER) -> Path:
        text = io.StringIO()
        writer = csv.writer(text, lineterminator="\n")
        for cover, genre, decision, *identity in decisions:
            writer.writerow([cover, genre, "yes", 0.5, "a, b", decision, *(identity or [""])])
        file = tmp_path / "decided.csv"
        file.write_text(header + text.getvalue(), encoding="utf-8")
        return file

    return write


def _genres(ingested: Any) -> dict[str, set[str]]:
    found = {}
    for _, example in ingested.examples().values():
        features = example.features.feature
        genres = {genre.decode() for genre in features["genres"].bytes_list.value}
        assert sum(features["label"].float_list.value) == len(genres)
        for path in features["image/path"].bytes_list.value:
            found[path.decode()] = genres
    return found


def _splits(ingested: Any) -> dict[str, tuple[str, bytes]]:
    return {
        image_id: (split, example.features.feature["image/group"].bytes_list.value[0])
        for image_id, (split, example) in ingested.examples().items()
    }


def test_each_kind_of_decision_is_followed_and_nothing_else_changes(
    ingest: Ingest, data: Path, decide: Callable[..., Path]
) -> None:
    before = ingest(data)
    file = decide(
        ("3.jpg", "rock", "add"),
        ("4.jpg", "Rock", " Remove "),
        ("4.jpg", "Jazz", "add"),
        ("5.jpg", "jazz", "drop"),
        ("6.jpg", "pop", "keep"),
        ("7.jpg", "rock", ""),
        ("8.jpg", "jazz", "add"),
        ("unlabelled.jpg", "jazz", "add"),
    )
    after = ingest(data, relabel=file)
    changed = {
        "3.jpg": {"pop", "rock"},
        "4.jpg": {"jazz"},
        "unlabelled.jpg": {"jazz"},
    }
    expected = _genres(before) | changed
    del expected["5.jpg"]
    assert _genres(after) == expected
    assert before.reasons() == {"unlabelled.jpg": "no_genre"}
    assert after.reasons() == {"5.jpg": "dropped"}
    assert list(after.quarantined["detail"]) == ["Dropped by decided.csv, line 5."]
    assert (before.summary.relabelled, after.summary.relabelled) == (0, 3)
    kept = _splits(after)
    assert {name: kept[name] for name in _splits(before) if name in kept}.items() <= _splits(
        before
    ).items()


@pytest.mark.parametrize("named", ["1.jpg", "again.jpg", "id"])
def test_all_rows_of_an_image_follow_whatever_names_it(
    ingest: Ingest, data: Path, decide: Callable[..., Path], named: str
) -> None:
    before = ingest(data)
    (identity,) = (
        image_id
        for image_id, (_, example) in before.examples().items()
        if b"1.jpg" in example.features.feature["image/path"].bytes_list.value
    )
    assert _genres(before)["1.jpg"] == {"jazz", "rock"}
    row = ("moved.jpg", "jazz", "remove", identity) if named == "id" else (named, "jazz", "remove")
    after = ingest(data, relabel=decide(row))
    assert _genres(after)["1.jpg"] == _genres(after)["again.jpg"] == {"rock"}
    assert (after.summary.relabelled, after.summary.united_labels) == (1, 1)
    dropped = ingest(data, relabel=decide((*row[:2], "drop", *row[3:])))
    assert dropped.reasons() == {
        "1.jpg": "dropped",
        "again.jpg": "dropped",
        "unlabelled.jpg": "no_genre",
    }


def test_merging_restores_nothing_that_was_removed_and_spreads_no_wrong_label(
    ingest: Ingest, data: Path, decide: Callable[..., Path]
) -> None:
    assert _genres(ingest(data))["copy.jpg"] == {"pop", "rock"}
    of_copy = _genres(ingest(data, relabel=decide(("copy.jpg", "rock", "remove"))))
    assert (of_copy["0.jpg"], of_copy["copy.jpg"]) == ({"pop", "rock"}, {"pop"})
    of_first = ingest(data, relabel=decide(("0.jpg", "rock", "remove")))
    assert _genres(of_first)["0.jpg"] == _genres(of_first)["copy.jpg"] == {"pop"}
    assert of_first.summary.contradicting_pairs == {}
    dropped = _genres(ingest(data, relabel=decide(("0.jpg", "", "drop"))))
    assert dropped["copy.jpg"] == {"pop"}


def test_copies_whose_contradiction_was_settled_are_not_quarantined(
    ingest: Ingest, data: Path, decide: Callable[..., Path]
) -> None:
    options = {"near_duplicates": {"labels": "quarantine"}}
    assert ingest(data, **options).reasons().keys() == {"0.jpg", "copy.jpg", "unlabelled.jpg"}
    after = ingest(data, relabel=decide(("copy.jpg", "rock", "add")), **options)
    assert after.reasons().keys() == {"unlabelled.jpg"}


@pytest.mark.parametrize("allowed", [False, True])
def test_a_cover_left_without_a_genre_is_quarantined_unless_that_is_allowed(
    ingest: Ingest, data: Path, decide: Callable[..., Path], allowed: bool
) -> None:
    after = ingest(data, relabel=decide(("3.jpg", "pop", "remove")), allow_no_genre=allowed)
    reasons = {} if allowed else {"3.jpg": "no_genre", "unlabelled.jpg": "no_genre"}
    assert after.reasons() == reasons
    assert after.summary.without_genre == (2 if allowed else 0)
    assert after.summary.relabelled == (1 if allowed else 0)
    if allowed:
        assert _genres(after)["3.jpg"] == set()
    else:
        detail = dict(zip(after.quarantined["path"], after.quarantined["detail"], strict=True))
        assert detail["3.jpg"].endswith("Received: none after the decisions in decided.csv.")


def test_decisions_about_spans_name_covers_as_the_report_does(
    ingest: Ingest, tmp_path: Path, write_cover: Callable[..., Path], decide: Callable[..., Path]
) -> None:
    for span in (1, 2):
        for n in range(6):
            write_cover(tmp_path / f"data/span-{span}/pop/{n}.jpg", 10 * span + n)
    options = {"span": "all", "relabel": decide(("span-2/pop/3.jpg", "rock", "add"))}
    genres = _genres(ingest(tmp_path / "data", **options))
    assert [path for path, names in genres.items() if names != {"pop"}] == ["span-2/pop/3.jpg"]


@pytest.mark.parametrize(
    ("row", "message"),
    [
        (("none.jpg", "pop", "add"), r"covers that are in the data\. Received: .*line 2 \('none.j"),
        (("0.jpg", "pop", "drop", "0" * 64), r"others in line 2 \('000"),
        (("0.jpg", "pup", "add"), r"decided\.csv, line 2\. Received: 'pup'\. Did you mean pop\?"),
    ],
)
def test_decisions_about_what_is_unknown_stop_ingest(
    ingest: Ingest, data: Path, decide: Callable[..., Path], row: tuple[str, ...], message: str
) -> None:
    with pytest.raises(ConfigError, match=message):
        ingest(data, relabel=decide(row))


def test_two_names_of_a_cover_do_not_hide_a_contradiction(
    ingest: Ingest, data: Path, decide: Callable[..., Path]
) -> None:
    file = decide(("1.jpg", "pop", "add"), ("again.jpg", "pop", "remove"))
    with pytest.raises(ConfigError, match="add in line 2 and remove in line 3, for '"):
        ingest(data, relabel=file)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"cover,genre\n1.jpg,pop\n", r"columns cover, genre and decision in .*Received: cover, g"),
        (b"", "Received: none. Keep the first line"),
        (
            b"cover,genre,decision\n1.jpg,pop,delete\n",
            r"keep, add, .* line 2, .*: 'delete'",
        ),
        (b"cover,genre,decision\n\n1.jpg,pop,ad\n", r"line 3, .*'ad'\. Did you mean add\?"),
        (b"cover,genre,decision\n1.jpg,,add\n", r"Expected a genre in .*, line 2, as there is"),
        (b"cover,genre,decision\n,pop,drop\n", r"Expected a cover in .*, line 2, as there is"),
        (b"cover,genre,decision\n1.jpg,pop\n", r"Expected 3 values in .*, line 2.*Received: 2"),
        (b"cover,genre,decision\na.jpg,pop,\n\xe9.jpg,pop,add\n", r"UTF-8.*other bytes in line 3"),
        (b'cover,genre,decision\n"a.jpg,pop,add\n', r"unexpected end of data, .* on line 2"),
        (
            b"cover,genre,decision\na.jpg,pop,add\na.jpg,POP,keep\n",
            r"one decision for a label.*add in line 2 and keep in line 3, for 'a\.jpg'",
        ),
        (
            b"cover,genre,decision\na.jpg,pop,add\na.jpg,rock,drop\n",
            r"one decision for a cover.*add in line 2 and drop in line 3",
        ),
        (b"x" * (5 << 20), "at most 4,194,304 bytes"),
        (
            b"cover,genre,decision\n" + b"".join(b"%064d,pop,add\n" % n for n in range(2000)),
            r"at most 98,304 bytes, about 1,000 .*Received: 2,000 of ",
        ),
    ],
)
def test_a_file_that_cannot_be_followed_is_explained(
    tmp_path: Path, content: bytes, message: str
) -> None:
    file = tmp_path / "decided.csv"
    file.write_bytes(content)
    with pytest.raises(ConfigError, match=message):
        IngestConfig(relabel=file)


def test_a_file_that_is_not_there_is_explained(tmp_path: Path) -> None:
    for missing in (tmp_path, tmp_path / "none.csv", "s3://bucket/a.csv", "a\0b"):
        with pytest.raises(ConfigError, match=r"Expected a CSV file of decisions at ingest\.rel"):
            IngestConfig(relabel=missing)


def test_files_as_spreadsheets_write_them_are_read(tmp_path: Path) -> None:
    file = tmp_path / "decided.csv"
    expected = [(3, "a;b.jpg", "pop", "add")]
    for delimiter in (",", ";", "\t"):
        lines = ["Cover,Genre,Decision,note", "1.jpg,pop,,", '"a;b.jpg",pop,ADD,']
        text = "\r\n".join(line.replace(",", delimiter) for line in lines) + "\r\n"
        file.write_bytes(b"\xef\xbb\xbf" + text.encode())
        relabel = IngestConfig(relabel=file).relabel
        assert relabel is not None
        assert relabel.decisions == tuple(expected)


def test_only_decisions_that_change_something_are_part_of_the_configuration(
    decide: Callable[..., Path],
) -> None:
    def dumped(*rows: tuple[str, ...]) -> str:
        return IngestConfig(relabel=decide(*rows)).model_dump_json()

    rows = [("a.jpg", "pop", "add"), ("b.jpg", "pop", "drop"), ("c.jpg", "pop", "")]
    known = dumped(*rows)
    assert known == dumped(*rows[:2], ("c.jpg", "pop", "keep"))
    assert known != dumped(*rows[:2], ("c.jpg", "pop", "remove"))
    assert IngestConfig.from_json(known).model_dump_json() == known
