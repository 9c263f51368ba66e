"""Data in the shapes in which people have them: which rows each gives."""

from __future__ import annotations

import codecs
import csv
import json
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from pyarrow import parquet

from components.cover_example_gen import sources
from components.cover_example_gen.config import ColumnsConfig, IngestConfig
from components.cover_example_gen.fingerprint import fingerprint_data
from components.cover_example_gen.sources import Row, find_source
from components.support.errors import ConfigError, DataError


def _touch(folder: Path, *names: str) -> None:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(name.encode())


def _rows(data: Path, **options: Any) -> list[Row]:
    return find_source(data, config=IngestConfig(**options)).rows()


def _given(rows: list[Row]) -> list[tuple[str, tuple[str, ...]]]:
    return [(row.file or row.path, row.genres) for row in rows]


EXPECTED = [("a.jpg", ("rock",)), ("b.jpg", ("rock", "pop")), ("c.jpg", ())]

MANIFESTS = {
    "labels.csv": "image,genres\na.jpg,rock\nb.jpg,rock|pop\nc.jpg,\n",
    "labels.CSV": "Image,Genres\na.jpg,rock\nb.jpg,rock|pop\nc.jpg,\n",
    "labels.tsv": "image\tgenres\na.jpg\trock\nb.jpg\trock|pop\nc.jpg\t\n",
    "semicolon.csv": "image;genres\na.jpg;rock\nb.jpg;rock|pop\nc.jpg;\n",
    "excel.csv": "sep=;\r\nimage;genres\r\na.jpg;rock\r\nb.jpg;rock|pop\r\nc.jpg;\r\n",
    "pipe.csv": "sep=|\nimage|genres\na.jpg|rock\nb.jpg|['rock', 'pop']\nc.jpg|\n",
    "metadata.csv": "file_name,genres\na.jpg,rock\nb.jpg,rock|pop\nc.jpg,\n",
    "python.csv": "image,genres\na.jpg,\"['rock']\"\nb.jpg,\"['rock', 'pop']\"\nc.jpg,[]\n",
    "json.csv": 'image,genres\na.jpg,"[""rock""]"\nb.jpg,"[""rock"", ""pop""]"\nc.jpg,[]\n',
    "numpy.csv": "image,genres\na.jpg,['rock']\nb.jpg,['rock' 'pop']\nc.jpg,[]\n",
    "metadata.jsonl": "".join(
        json.dumps({"file_name": path, "genres": list(genres)}) + "\n" for path, genres in EXPECTED
    ),
    "text.jsonl": "".join(
        json.dumps({"image": path, "genres": "|".join(genres)}) + "\n\n"
        for path, genres in EXPECTED
    ),
    "headerless.csv": "a.jpg,rock\nb.jpg,rock,pop\nc.jpg,\n",
    "vertex.csv": "gs://bucket/a.jpg,rock\ngs://bucket/b.jpg,rock,pop\ngs://bucket/c.jpg\n",
    "vertex-splits.csv": "TRAINING,gs://b/x/a.jpg,rock\nTEST,gs://b/x/b.jpg,rock,pop\n"
    ",gs://b/x/c.jpg\n",
}


@pytest.mark.parametrize("name", MANIFESTS)
def test_manifests_of_every_shape_give_the_same_rows(tmp_path: Path, name: str) -> None:
    _touch(tmp_path, "a.jpg", "b.jpg", "c.jpg")
    (tmp_path / name).write_text(MANIFESTS[name], newline="")
    for data in (tmp_path, tmp_path / name):
        rows = _rows(data)
        assert _given(rows) == EXPECTED
        assert not any(row.problem for row in rows)


@pytest.mark.parametrize("mark", [codecs.BOM_UTF8, b""], ids=["mark", "plain"])
def test_lines_are_numbered_as_in_an_editor(tmp_path: Path, mark: bytes) -> None:
    text = "sep=;\nimage;genres\n\na.jpg;rock\n\nb.jpg;pop\nshort\n"
    (tmp_path / "labels.csv").write_bytes(mark + text.encode())
    rows = _rows(tmp_path)
    assert [(row.line, bool(row.problem)) for row in rows] == [(4, False), (6, False), (7, True)]
    (tmp_path / "labels.csv").write_bytes(mark + b"a.jpg,rock\n\nb.jpg,pop\n")
    assert [row.line for row in _rows(tmp_path)] == [1, 3]


def test_json_lines_that_are_no_object_are_problems_of_their_rows(tmp_path: Path) -> None:
    lines = ['{"image": "a.jpg", "genres": "rock"}', "[1]", "{", '{"image": "b.jpg"}']
    (tmp_path / "labels.jsonl").write_text("\n".join(lines))
    rows = _rows(tmp_path)
    assert [(row.line, row.path, bool(row.problem)) for row in rows] == [
        (1, "a.jpg", False),
        (2, "", True),
        (3, "", True),
        (4, "b.jpg", False),
    ]
    (tmp_path / "labels.jsonl").write_text("no json\n")
    with pytest.raises(DataError, match="JSON object in each line"):
        _rows(tmp_path)


def test_one_column_for_each_genre(tmp_path: Path) -> None:
    _touch(tmp_path, "images/0001.jpg", "images/0002.png", "images/0003.jpg")
    (tmp_path / "train.csv").write_text(
        "image_name,Rock,Hip-Hop,pop,year\n0001,1,0,1.0,1999\n0002,True,yes,,2000\n"
        "0003,0,false,no,\n0003,2,0,0,1\n"
    )
    columns = ColumnsConfig(image="image_name", genres=("rock", "hip-hop", "pop"))
    rows = _rows(tmp_path, columns=columns, slices=("Year",))
    assert _given(rows[:3]) == [
        ("images/0001.jpg", ("rock", "pop")),
        ("images/0002.png", ("rock", "hip-hop")),
        ("images/0003.jpg", ()),
    ]
    assert all(row.listed for row in rows[:3])
    assert [row.path for row in rows[:3]] == ["0001", "0002", "0003"]
    assert [row.values for row in rows[:3]] == [(("Year", "1999"),), (("Year", "2000"),), ()]
    assert rows[3].problem == "Column 'rock': Expected 0 or 1. Received: '2'."


@pytest.mark.parametrize(
    ("columns", "slices", "message"),
    [
        ({}, (), "name the columns 'image' and 'genres' once each.*`covers init`"),
        ({"image": "imgae", "genres": "style"}, (), "the column 'imgae'.*Did you mean image"),
        ({"genres": ("rock", "pop")}, (), "the column 'rock'"),
        ({"genres": "style", "split": "set"}, (), "the column 'set'"),
        ({"genres": "style"}, ("year",), "the column 'year'"),
    ],
)
def test_columns_that_are_not_there_are_named(
    tmp_path: Path, columns: dict[str, Any], slices: tuple[str, ...], message: str
) -> None:
    (tmp_path / "labels.csv").write_text("image,style\na.jpg,rock\n")
    with pytest.raises(DataError, match=message):
        _rows(tmp_path, columns=ColumnsConfig(**columns), slices=slices)


def test_slices_need_a_manifest(tmp_path: Path) -> None:
    _touch(tmp_path, "rock/a.jpg")
    with pytest.raises(ConfigError, match=r"ingest\.slices"):
        _rows(tmp_path, slices=("year",))


def _image(name: str | None) -> dict[str, Any]:
    return {"bytes": f"bytes of {name}".encode(), "path": name}


def test_images_in_parquet_become_files(tmp_path: Path) -> None:
    table = pa.table(
        {
            "image": [_image("a.jpg"), _image(None), {"bytes": None, "path": "covers/c.jpg"}],
            "genres": [["rock"], ["rock", "pop"], []],
            "year": [1999, None, 2001],
        }
    )
    data, scratch = tmp_path / "data", tmp_path / "scratch"
    _touch(data, "covers/c.jpg")
    parquet.write_table(table, data / "train-00000-of-00001.parquet", row_group_size=2)
    rows = find_source(data, config=IngestConfig(slices=("year",))).rows(scratch)
    assert [(row.line, row.path, row.genres) for row in rows] == [
        (1, "a.jpg", ("rock",)),
        (2, "train-00000-of-00001.parquet#2", ("rock", "pop")),
        (3, "covers/c.jpg", ()),
    ]
    assert [row.values for row in rows] == [(("year", "1999"),), (), (("year", "2001"),)]
    assert Path(rows[0].extracted).read_bytes() == b"bytes of a.jpg"
    assert Path(rows[1].extracted).read_bytes() == b"bytes of None"
    assert rows[2].extracted == ""
    before = fingerprint_data(data)
    changed = table.set_column(0, "image", [[_image("a.jpg"), _image("b"), _image("c")]])
    parquet.write_table(changed, data / "train-00000-of-00001.parquet")
    assert fingerprint_data(data) != before


@pytest.mark.parametrize(
    "feature",
    [
        {"feature": {"names": ["pop", "rock"], "_type": "ClassLabel"}, "_type": "Sequence"},
        [{"names": ["pop", "rock"], "_type": "ClassLabel"}],
    ],
)
def test_class_labels_of_hugging_face_have_names(tmp_path: Path, feature: Any) -> None:
    info = {"info": {"features": {"image": {"_type": "Image"}, "genres": feature}}}
    table = pa.table({"image": [b"a", b"b"], "genres": [[1], [0, 1]]})
    table = table.replace_schema_metadata({"huggingface": json.dumps(info)})
    parquet.write_table(table, tmp_path / "covers.parquet")
    assert [row.genres for row in _rows(tmp_path)] == [("rock",), ("pop", "rock")]


def test_a_file_that_is_no_parquet_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "covers.parquet").write_bytes(b"PAR1 or not")
    with pytest.raises(DataError, match="to be a Parquet file"):
        _rows(tmp_path)


def _splits(rows: list[Row]) -> dict[str, str | None]:
    return {row.file or row.path: row.split for row in rows}


@pytest.mark.parametrize("names", [("train", "val", "test"), ("Training", "validation", "TEST")])
def test_folders_above_the_genres_give_the_splits(tmp_path: Path, names: tuple[str, ...]) -> None:
    train, val, test = names
    _touch(tmp_path, f"{train}/rock/a.jpg", f"{val}/rock/b.jpg", f"{test}/pop/live/c.jpg")
    rows = _rows(tmp_path)
    assert _splits(rows) == {
        f"{train}/rock/a.jpg": "train",
        f"{val}/rock/b.jpg": "eval",
        f"{test}/pop/live/c.jpg": "test",
    }
    assert {row.genres for row in rows} == {("rock",), ("pop",)}


def test_genres_that_are_named_like_a_split_are_genres(tmp_path: Path) -> None:
    _touch(tmp_path, "test/a.jpg", "rock/b.jpg")
    assert {(row.genres, row.split) for row in _rows(tmp_path)} == {
        (("test",), None),
        (("rock",), None),
    }


def test_a_manifest_in_each_folder_of_a_split(tmp_path: Path) -> None:
    for split in ("train", "test"):
        _touch(tmp_path, f"{split}/a.jpg")
        (tmp_path / split / "metadata.csv").write_text('file_name,genres\na.jpg,"rock, pop"\n')
    rows = _rows(tmp_path)
    assert [(row.source, row.line, row.path, row.split, row.genres) for row in rows] == [
        ("test/metadata.csv", 2, "test/a.jpg", "test", ("rock, pop",)),
        ("train/metadata.csv", 2, "train/a.jpg", "train", ("rock, pop",)),
    ]
    assert find_source(tmp_path).unlisted_files(rows) == []
    before = fingerprint_data(tmp_path)
    (tmp_path / "test" / "a.jpg").write_bytes(b"changed")
    assert fingerprint_data(tmp_path) != before


def test_a_manifest_above_the_folders_of_the_splits(tmp_path: Path) -> None:
    _touch(tmp_path, "train/a.jpg", "valid/b.jpg")
    (tmp_path / "labels.csv").write_text("image,genres\ntrain/a.jpg,rock\nvalid/b.jpg,pop\n")
    assert _splits(_rows(tmp_path)) == {"train/a.jpg": "train", "valid/b.jpg": "eval"}
    (tmp_path / "labels.csv").write_text("image,genres\ntrain/a.jpg,rock\nmore/b.jpg,pop\n")
    assert _splits(_rows(tmp_path)) == {"train/a.jpg": None, "more/b.jpg": None}


@pytest.mark.parametrize(
    ("names", "splits"),
    [
        (("train.csv", "test.csv"), ["test", "train"]),
        (("train.csv", "validation.csv"), ["train", "eval"]),
        (("part-00000.csv", "part-00001.csv"), [None, None]),
        (("data-00000-of-00002.csv", "data-00001-of-00002.csv"), [None, None]),
        (("train-00000-of-00001.csv", "test-00000-of-00001.csv"), ["test", "train"]),
    ],
)
def test_several_manifests_of_one_data_set(
    tmp_path: Path, names: tuple[str, ...], splits: list[str | None]
) -> None:
    for number, name in enumerate(names):
        (tmp_path / name).write_text(f"image,genres\n{number}.jpg,rock\n")
    assert [row.split for row in _rows(tmp_path)] == splits


def test_the_data_folder_of_a_hugging_face_repository(tmp_path: Path) -> None:
    _touch(tmp_path, "README.md", ".gitattributes", "data/none")
    for split in ("train", "test"):
        table = pa.table({"image": [_image("a.jpg")], "genres": [[split]]})
        parquet.write_table(table, tmp_path / "data" / f"{split}-00000-of-00001.parquet")
    assert [(row.genres, row.split) for row in _rows(tmp_path)] == [
        (("test",), "test"),
        (("train",), "train"),
    ]


def test_a_split_column_is_honoured_and_can_be_ignored(tmp_path: Path) -> None:
    lines = [
        "image,genres,split",
        "a.jpg,rock,train",
        "b.jpg,rock,VAL",
        "c.jpg,rock,",
        "d.jpg,rock,x",
    ]
    (tmp_path / "labels.csv").write_text("\n".join(lines))
    rows = _rows(tmp_path)
    assert [row.split for row in rows] == ["train", "eval", None, None]
    assert [bool(row.problem) for row in rows] == [False, False, False, True]
    assert "train, val or test. Received: 'x'" in str(rows[3].problem)
    ignored = _rows(tmp_path, columns=ColumnsConfig(split=False))
    assert {(row.split, row.problem) for row in ignored} == {(None, None)}


def test_one_split_alone_is_no_split(tmp_path: Path) -> None:
    (tmp_path / "labels.csv").write_text("image,genres,split\na.jpg,rock,train\nb.jpg,pop,train\n")
    assert [row.split for row in _rows(tmp_path)] == [None, None]


@pytest.mark.parametrize(
    ("named", "file"),
    [
        ("cover_1", "covers/cover_1.jpg"),
        ("0001", "0001.PNG"),
        ("0001.jpg", "images/0001.jpg"),
        ("a/0001", "images/a/0001.webp"),
        (".\\0001.jpg", "0001.jpg"),
        ("images\\0001.jpg", "images/0001.jpg"),
        ("./images//0001.jpg", "images/0001.jpg"),
        ("cover.v2", "x/cover.v2.jpg"),
    ],
)
def test_names_and_ids_find_their_file(tmp_path: Path, named: str, file: str) -> None:
    _touch(tmp_path, file, "other/unlike.jpg")
    with (tmp_path / "labels.csv").open("w", newline="") as out:
        csv.writer(out).writerows([["image", "genres"], [named, "rock"]])
    source = find_source(tmp_path)
    (row,) = rows = source.rows()
    assert row.path == named
    assert (tmp_path / (row.file or row.path)).samefile(tmp_path / file)
    assert source.unlisted_files(rows) == []


def test_a_name_that_two_files_fit_is_a_problem(tmp_path: Path) -> None:
    _touch(tmp_path, "small/1.jpg", "large/1.jpg", "b/2.jpg")
    (tmp_path / "labels.csv").write_text("image,genres\n1,rock\na/2.jpg,rock\n../b/2,rock\n")
    rows = _rows(tmp_path)
    assert rows[0].problem == (
        "Expected one image named '1'. Received: large/1.jpg, small/1.jpg. Give its path."
    )
    assert [(row.file, row.problem) for row in rows[1:]] == [("", None), ("", None)]


def test_windows_paths_leave_nothing_unlisted(
    tmp_path: Path, write_cover: Callable[..., Path], ingest: Callable[..., Any]
) -> None:
    for seed in range(12):
        write_cover(tmp_path / f"{seed}.jpg", seed)
    rows = "".join(f".\\{seed}.jpg,rock\n" for seed in range(12))
    (tmp_path / "labels.csv").write_text(f"image,genres\n{rows}")
    summary = ingest(tmp_path).summary
    assert (summary.examples, summary.rows_quarantined, summary.unlisted_files) == (12, 0, 0)


def test_images_in_parquet_are_extracted_among_temporary_files(
    tmp_path: Path,
    write_cover: Callable[..., Path],
    ingest: Callable[..., Any],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    extracted = []

    def extract(*arguments: Any) -> str:
        extracted.append(original(*arguments))
        return extracted[-1]

    original = sources._extract
    temporary = tmp_path / "temporary"
    temporary.mkdir()
    images = [{"bytes": write_cover(tmp_path / "a.jpg", 1).read_bytes(), "path": "a.jpg"}]
    (tmp_path / "data").mkdir()
    table = pa.table({"image": images, "genres": [["rock"]]})
    parquet.write_table(table, tmp_path / "data" / "train.parquet")
    monkeypatch.setattr(tempfile, "tempdir", str(temporary))
    monkeypatch.setattr(sources, "_extract", extract)
    assert ingest(tmp_path / "data").summary.examples == 1
    assert [Path(file).is_relative_to(temporary) for file in extracted] == [True]
    assert not list(temporary.iterdir())


def test_images_in_parquet_are_ingested(
    tmp_path: Path, write_cover: Callable[..., Path], ingest: Callable[..., Any]
) -> None:
    files = [write_cover(tmp_path / f"{seed}.jpg", seed) for seed in range(12)]
    images = [{"bytes": file.read_bytes(), "path": file.name} for file in files]
    images[3]["bytes"] = images[3]["bytes"][:100]
    table = pa.table({"image": images, "genres": [["rock"]] * 12})
    (tmp_path / "data").mkdir()
    parquet.write_table(table, tmp_path / "data" / "train.parquet")
    result = ingest(tmp_path / "data")
    assert result.summary.examples == 11
    assert result.reasons() == {"3.jpg": "undecodable_image"}
    stored = {
        example.features.feature["image/encoded"].bytes_list.value[0]
        for _, example in result.examples().values()
    }
    assert files[0].read_bytes() in stored
