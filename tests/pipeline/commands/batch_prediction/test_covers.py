from __future__ import annotations

import json
import os
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pytest
from pyarrow import parquet

from components.contracts.quarantine import RowRejected
from components.support.errors import DataError
from components.support.file_systems import open_file_system
from pipeline.commands.batch_prediction.covers import list_covers

Write = Callable[..., Path]
BACKGROUND = "#ffffff"


@pytest.fixture
def folder(tmp_path: Path, write_cover: Write) -> Path:
    for number, name in enumerate(("b.jpg", "a.JPG", "more/c.png", "more/@eaDir/c.png.jpg")):
        write_cover(tmp_path / "covers" / name, number)
    (tmp_path / "covers" / "notes.txt").write_text("notes")
    (tmp_path / "covers" / "labels.csv").write_text("image,genres\nb.jpg,rock\n")
    (tmp_path / "covers" / ".hidden.jpg").write_bytes(b"")
    return tmp_path / "covers"


def _names(*given: object, **options: object) -> list[str]:
    return [cover.name for cover in list_covers([*map(str, given)], **options)]  # type: ignore[arg-type]


def test_a_folder_gives_its_images_in_order_and_counts_the_rest(folder: Path) -> None:
    passed_over: Counter[str] = Counter()
    names = _names(folder, passed_over=passed_over)
    assert names == [f"{folder}/{name}" for name in ("a.JPG", "b.jpg", "more/c.png")]
    assert passed_over == {"other files": 1, "manifests": 1}
    assert names == _names(folder)


def test_a_pattern_gives_the_files_that_fit(folder: Path) -> None:
    assert _names(folder / "**" / "*.[jp][pn]g") == [f"{folder}/b.jpg", f"{folder}/more/c.png"]


def test_what_is_not_there_is_an_answer_and_not_nothing(tmp_path: Path) -> None:
    for name in ("gone.jpg", "none/*.jpg", "gone.csv"):
        (cover,) = list_covers([str(tmp_path / name)])
        with pytest.raises(RowRejected) as caught:
            cover.read(BACKGROUND)
        assert caught.value.reason.value == "missing_file"


def test_an_unreadable_folder_is_a_reason(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    listed = os.scandir

    def scandir(path: str) -> object:
        if str(path).endswith("more"):
            raise PermissionError(13, "Permission denied", str(path))
        return listed(path)

    monkeypatch.setattr(os, "scandir", scandir)
    *good, bad = list_covers([str(folder)])
    assert len(good) == 2
    with pytest.raises(RowRejected, match="Permission denied"):
        bad.read(BACKGROUND)


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("a.csv", "image,year\nb.jpg,1999\nmore/c,2001\n,1\n../x.jpg,1\n"),
        ("a.tsv", "file_name\tyear\nb.jpg\t1999\nmore/c\t2001\n\t1\n../x.jpg\t1\n"),
        (
            "a.jsonl",
            "".join(
                json.dumps({"image": name}) + "\n" for name in ("b.jpg", "more/c", "", "../x.jpg")
            ),
        ),
    ],
)
def test_a_manifest_needs_no_genres(folder: Path, name: str, text: str) -> None:
    (folder / name).write_text(text)
    found, by_id, without, outside = list_covers([str(folder / name)])
    assert (found.name, by_id.name, outside.name) == ("b.jpg", "more/c", "../x.jpg")
    assert found.read(BACKGROUND) == (folder / "b.jpg").read_bytes()
    assert by_id.read(BACKGROUND) == (folder / "more" / "c.png").read_bytes()
    for cover, reason in ((without, "malformed_row"), (outside, "outside_data_directory")):
        with pytest.raises(RowRejected) as caught:
            cover.read(BACKGROUND)
        assert caught.value.reason.value == reason


def test_the_column_of_a_manifest_can_be_named(folder: Path) -> None:
    (folder / "a.csv").write_text("cover,year\nb.jpg,1999\n")
    assert _names(folder / "a.csv", column="Cover") == ["b.jpg"]
    with pytest.raises(DataError, match=r"one column 'image' or 'file_name'.*--image-column"):
        _names(folder / "a.csv")


@pytest.mark.parametrize("extracted", [False, True])
def test_images_inside_parquet(folder: Path, tmp_path: Path, *, extracted: bool) -> None:
    encoded = (folder / "b.jpg").read_bytes()
    images = [{"bytes": encoded, "path": "x.jpg"}, {"bytes": encoded, "path": None}]
    parquet.write_table(pa.table({"image": images}), folder / "a.parquet")
    scratch = tmp_path if extracted else None
    first, second = list_covers([str(folder / "a.parquet")], scratch=scratch)
    assert (first.name, second.name) == ("x.jpg", f"{folder}/a.parquet#2")
    assert first.read(BACKGROUND) == second.read(BACKGROUND) == encoded


def test_covers_in_an_object_store(folder: Path, s3: object) -> None:
    bucket = "s3://bucket/predicted"
    file_system, root = open_file_system(bucket)
    (folder / "labels.csv").write_text("image\nb.jpg\ngone.jpg\n../x.jpg\n")
    file_system.put(str(folder), root, recursive=True)
    passed_over: Counter[str] = Counter()
    names = _names(bucket, passed_over=passed_over)
    assert names == [f"{bucket}/{name}" for name in ("a.JPG", "b.jpg", "more/c.png")]
    assert passed_over == {"other files": 1, "manifests": 1}
    assert _names(f"{bucket}/*.jpg") == [f"{bucket}/b.jpg"]
    (single,) = list_covers([f"{bucket}/more/c.png"])
    assert single.read(BACKGROUND) == (folder / "more" / "c.png").read_bytes()
    found, *others = list_covers([f"{bucket}/labels.csv"])
    assert found.name == f"{bucket}/b.jpg"
    assert found.read(BACKGROUND) == (folder / "b.jpg").read_bytes()
    nothing = list(list_covers([f"{bucket}/none"]))
    for cover, reason in zip(
        [*others, *nothing],
        ["missing_file", "outside_data_directory", "missing_file"],
        strict=True,
    ):
        with pytest.raises(RowRejected) as caught:
            cover.read(BACKGROUND)
        assert caught.value.reason.value == reason


def test_a_folder_of_manifests_alone_gives_what_they_name(folder: Path, tmp_path: Path) -> None:
    encoded = (folder / "b.jpg").read_bytes()
    shards = tmp_path / "shards"
    shards.mkdir()
    for name in ("a-0.parquet", "a-1.parquet"):
        parquet.write_table(pa.table({"image": [{"bytes": encoded, "path": name}]}), shards / name)
    passed_over: Counter[str] = Counter()
    assert _names(shards, passed_over=passed_over) == ["a-0.parquet", "a-1.parquet"]
    assert _names(shards / "*.parquet") == ["a-0.parquet", "a-1.parquet"]
    (tmp_path / "empty").mkdir()
    assert _names(tmp_path / "empty", passed_over=passed_over) == []
    assert passed_over == Counter()
    assert not passed_over
