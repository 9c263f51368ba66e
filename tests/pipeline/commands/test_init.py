"""`covers init`: from data of any shape to a configuration and a schema that run."""

from __future__ import annotations

import csv
import dataclasses
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from click.testing import CliRunner
from pyarrow import parquet

from components.contracts.label_schema import LabelSchema
from components.cover_example_gen.rows import match_genres
from components.cover_example_gen.sources import find_source
from pipeline.cli import main
from pipeline.commands.init.genres import propose_genres
from pipeline.config import load_config

Write = Callable[..., Path]
GENRES = ("rock", "pop", "jazz")
COVERS = 24


def _init(*arguments: Path | str) -> tuple[int, str]:
    result = CliRunner().invoke(main, ["init", *map(str, arguments)])
    return result.exit_code, result.output


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The working directory, beside the data."""
    (tmp_path / "work").mkdir()
    monkeypatch.chdir(tmp_path / "work")
    return tmp_path / "work"


def _table(file: Path, rows: Sequence[Sequence[Any]]) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    with file.open("w", newline="") as out:
        csv.writer(out).writerows(rows)


def _one_hot(data: Path, write: Write) -> None:
    rows: list[list[Any]] = [["image_name", *GENRES, "polka", "year", "title"]]
    for n in range(COVERS):
        write(data / "images" / f"{n:04d}.jpg", n)
        rows.append([f"{n:04d}", *(int(n % 3 == g) for g in range(4)), 1960 + n % 4, f"Title {n}"])
    _table(data / "train.csv", rows)


def _imagefolder_with_splits(data: Path, write: Write) -> None:
    for n in range(COVERS):
        write(data / ("train", "val", "test")[n % 4 % 3] / GENRES[n % 3] / f"{n}.jpg", n)


def _metadata_in_splits(data: Path, write: Write) -> None:
    for split, numbers in (("train", range(18)), ("test", range(18, COVERS))):
        for n in numbers:
            write(data / split / f"{n}.jpg", n)
        rows = [(f"{n}.jpg", f"{GENRES[n % 3]}, {GENRES[(n + 1) % 3]}") for n in numbers if n > 2]
        rows += [(f"{n}.jpg", GENRES[n]) for n in numbers if n <= 2]
        _table(data / split / "metadata.csv", [("file_name", "genres"), *rows])


def _parquet_with_bytes(data: Path, write: Write) -> None:
    files = [write(data.parent / f"{n}.jpg", n) for n in range(COVERS)]
    images = [{"bytes": file.read_bytes(), "path": file.name} for file in files]
    genres = [[GENRES[n % 3]] for n in range(COVERS)]
    data.mkdir()
    parquet.write_table(
        pa.table({"image": images, "labels": genres}), data / "train-00000-of-00001.parquet"
    )


def _tags(data: Path, write: Write) -> None:
    for n in range(COVERS):
        write(data / "covers" / f"cover_{n}.jpg", n)
    tags = [GENRES[n % 3] if n < 6 else f"{GENRES[n % 3]} {GENRES[n % 2]}" for n in range(COVERS)]
    rows = [(f"cover_{n}", text) for n, text in enumerate(tags)]
    _table(data / "labels.csv", [("id", "tags"), *rows])


SHAPES = {
    "one-hot": (
        _one_hot,
        "column 'image_name'",
        "4 columns of 0 and 1: rock, pop, jazz, polka",
        "left out, as no row has them: polka",
    ),
    "folders": (_imagefolder_with_splits, "splits given: ", "jazz 8"),
    "metadata": (_metadata_in_splits, "column 'file_name'", "splits given: "),
    "parquet": (_parquet_with_bytes, "column 'image'", "column 'labels'"),
    "tags": (_tags, "column 'id'", "column 'tags'"),
}


@pytest.mark.parametrize("shape", SHAPES)
def test_what_init_writes_is_what_ingest_reads(
    tmp_path: Path, folder: Path, write_cover: Write, shape: str
) -> None:
    fill, *expected = SHAPES[shape]
    data = tmp_path / "My Covers"
    fill(data, write_cover)
    code, output = _init(data)
    assert code == 0, output
    assert f"{COVERS} rows" in output
    for text in (*expected, "3 genres: ", "covers run --config my-covers.yaml"):
        assert text in output
    config = load_config(folder / "my-covers.yaml")
    assert config.data == data
    labels = LabelSchema.from_text(config.schema_text())
    assert labels.genres == tuple(sorted(GENRES))
    source = find_source(data, config=config.ingest)
    rows = source.rows()
    assert len(rows) == COVERS
    assert not any(row.problem for row in rows)
    assert source.unlisted_files(rows) == []


def test_what_is_uncertain_is_said(tmp_path: Path, folder: Path, write_cover: Write) -> None:
    rows: list[tuple[str, ...]] = [("id", "file", "tags", "style", "mood")]
    for n in range(12):
        write_cover(tmp_path / "data" / f"{n}.jpg", n)
        label = "N/A" if n == 5 else "" if n == 6 else ("rock", "Drum & Bass")[n % 2]
        rows.append((str(n), f"{n}.jpg", label, "x", "calm"))
    rows.append(("99", "99.jpg", "rock", "x", "calm"))
    _table(tmp_path / "data" / "labels.csv", rows)
    code, output = _init(tmp_path / "data", "--output", "mine.yaml")
    assert code == 0, output
    assert "images: column 'file'; 'id' would fit as well" in output
    assert "genres: column 'tags'; 'style' may hold some as well" in output
    assert "kept whole: 'Drum & Bass'" in output
    assert "'N/A' is taken for a genre (1 rows), but looks like the lack of one" in output
    assert "1 rows name no genre" in output
    assert "1 rows would be set aside as missing_file" in output
    assert "99.jpg (line 14)" in output
    assert (folder / "mine.pbtxt").is_file()


def test_choices_can_be_made(tmp_path: Path, folder: Path, write_cover: Write) -> None:
    rows: list[tuple[str, ...]] = [("id", "mood")]
    for n in range(12):
        write_cover(tmp_path / "data" / f"{n}.jpg", n)
        rows.append((str(n), ("calm", "wild")[n % 2]))
    _table(tmp_path / "data" / "labels.csv", rows)
    code, output = _init(tmp_path / "data")
    assert code == 3
    assert "--set ingest.columns.genres=COLUMN" in output
    assert list(folder.iterdir()) == []
    code, output = _init(tmp_path / "data", "--set", "ingest.columns.genres=mood")
    assert code == 0, output
    assert load_config(folder / "data.yaml").ingest.columns.genres == "mood"


@pytest.mark.parametrize(
    ("rows", "arguments", "code", "message"),
    [
        (["a,b", "1,2"], (), 3, "a column of labels.csv that names images"),
        (["image,genres"], (), 3, "Expected rows in"),
        (["image,genres", "a.jpg,rock"], (), 3, "at least two genres"),
        (["image,genres"], ("--set", "trainer.epochs=1"), 2, "options of ingest"),
        (["image,genres"], ("--set", "ingest.columns.genre=x"), 2, "Did you mean"),
        (["image,genres"], ("--output", "gone/x.yaml"), 2, "there is no folder"),
    ],
)
def test_data_that_no_proposal_fits(
    tmp_path: Path, rows: list[str], arguments: tuple[str, ...], code: int, message: str
) -> None:
    (tmp_path / "labels.csv").write_text("\n".join(rows))
    assert _init(tmp_path / "labels.csv", *arguments)[0] == code
    assert message in _init(tmp_path / "labels.csv", *arguments)[1]


def test_nothing_is_overwritten(tmp_path: Path, write_cover: Write) -> None:
    _imagefolder_with_splits(tmp_path / "covers", write_cover)
    assert _init(tmp_path / "covers")[0] == 0
    code, output = _init(tmp_path / "covers")
    assert code == 2
    assert "is there already" in output


def _proposed(*texts: str) -> list[str]:
    return sorted(propose_genres((text.split("|"), False) for text in texts).counts)


TEXTS = [
    (("rock", "pop", "rock;pop"), ["pop", "rock"]),
    (("rock, pop", "pop, jazz", "jazz"), ["jazz", "pop", "rock"]),
    (("Folk, World, & Country", "rock"), ["Folk, World, & Country", "rock"]),
    (
        ("Folk, World, & Country, rock", "rock", "Folk, World, & Country"),
        ["Folk, World, & Country", "rock"],
    ),
    (("Dance/Electronic", "Pop", "Dance/Electronic, Pop"), ["Dance/Electronic", "Pop"]),
    (("rock/pop", "rock", "pop"), ["pop", "rock"]),
    (("R&B/Soul", "Hip-Hop/Rap"), ["Hip-Hop/Rap", "R&B/Soul"]),
    (("rock pop", "rock", "pop"), ["pop", "rock"]),
    (("rock pop", "rock"), ["rock", "rock pop"]),
    (("pop rock, jazz", "jazz", "pop", "rock"), ["jazz", "pop", "pop rock", "rock"]),
    (("Drum & Bass", "東京", "électro", "électro"), ["Drum & Bass", "électro", "東京"]),
    (("Hip-Hop", "hip hop", "Hip-Hop"), ["Hip-Hop"]),
    (("rock|pop", "jazz"), ["jazz", "pop", "rock"]),
    (("Pop-Rock", "pop rock", "pop", "rock"), ["Pop-Rock", "pop", "rock"]),
    (("Pop-Rock", "pop, rock", "pop", "rock"), ["Pop-Rock", "pop", "rock"]),
    (("!!!", "!!!, rock", "rock"), ["!!!", "rock"]),
    (("हिन्दी", "हिन्द", "हिन्दी, ไทย"), ["हिन्द", "हिन्दी", "ไทย"]),
]


@pytest.mark.parametrize(("texts", "genres"), TEXTS)
def test_labels_are_divided_only_where_it_cannot_be_wrong(
    texts: tuple[str, ...], genres: list[str]
) -> None:
    assert _proposed(*texts) == genres


@pytest.mark.parametrize("texts", [texts for texts, _ in TEXTS])
def test_what_is_proposed_is_what_ingest_matches(
    texts: tuple[str, ...], labels: LabelSchema
) -> None:
    rows = [tuple(text.split("|")) for text in texts]
    proposed = propose_genres((names, False) for names in rows)
    schema = dataclasses.replace(labels, genres=tuple(proposed.counts))
    matched = Counter(genre for names in rows for genre in match_genres(names, schema))
    assert matched == proposed.counts


def test_labels_in_lists_are_never_divided() -> None:
    proposed = propose_genres([(["N/A"], True), (["rock, pop", "jazz"], True)])
    assert sorted(proposed.counts) == ["N/A", "jazz", "rock, pop"]
    assert proposed.doubtful == ("N/A",)


def test_columns_of_zeros_are_covers_without_a_genre(
    tmp_path: Path, folder: Path, write_cover: Write
) -> None:
    data = tmp_path / "data"
    rows: list[list[Any]] = [["image_name", *GENRES]]
    for n in range(COVERS):
        write_cover(data / f"{n:04d}.jpg", n)
        rows.append([f"{n:04d}.jpg", *(int(n % 4 == g) for g in range(3))])
    _table(data / "train.csv", rows)
    code, output = _init(data)
    assert code == 0, output
    assert "6 rows name no genre: taken for covers without any of the genres" in output
    assert "no_genre, such as" not in output
    assert load_config(folder / "data.yaml").ingest.allow_no_genre


def test_empty_cells_are_set_aside_and_the_option_is_named(
    tmp_path: Path, folder: Path, write_cover: Write
) -> None:
    data = tmp_path / "data"
    rows: list[list[Any]] = [["image", "genres"]]
    for n in range(COVERS):
        write_cover(data / f"{n:04d}.jpg", n)
        rows.append([f"{n:04d}.jpg", GENRES[n % 3] if n % 4 else ""])
    _table(data / "labels.csv", rows)
    code, output = _init(data)
    assert code == 0, output
    assert "6 rows name no genre: set aside" in output
    assert "ingest.allow_no_genre: true" in output
    assert not load_config(folder / "data.yaml").ingest.allow_no_genre
