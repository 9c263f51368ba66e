"""What lies beside covers and is none: counted once, neither a row nor a fault."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from components.cover_example_gen.clutter import clutter_file, clutter_folder
from components.cover_example_gen.sources import find_source
from components.support.errors import ConfigError, DataError

Write = Callable[..., Path]
POINTER = (
    b"version https://git-lfs.github.com/spec/v1\n"
    b"oid sha256:4d7a214614ab2935c943f9e0ff69d22eadbb8f32b1258daaa5e2ca24d17e2393\nsize 12345\n"
)


def _fill(folder: Path, write: Write) -> None:
    for seed in range(12):
        write(folder / ("rock", "pop")[seed % 2] / f"{seed}.jpg", seed)
    write(folder / "rock" / "@eaDir" / "0.jpg" / "SYNOPHOTO_THUMB_M.jpg", 0)
    write(folder / "__MACOSX" / "rock" / "._0.jpg", 0)
    write(folder / "rock" / ".ipynb_checkpoints" / "0-checkpoint.jpg", 0)
    for name, content in {
        "rock/Thumbs.db": b"\xd0\xcf\x11\xe0",
        "pop/THUMBS.DB": b"",
        "rock/desktop.ini": b"[.ShellClassInfo]",
        "rock/.DS_Store": b"x",
        "rock/._1.jpg": b"AppleDouble",
        "rock/README.txt": b"covers",
        "LICENSE": b"x",
        "pop/99.jpg": POINTER,
    }.items():
        (folder / name).write_bytes(content)
    (folder / "soul").mkdir()


def test_clutter_is_counted_and_is_no_row(
    tmp_path: Path, write_cover: Write, ingest: Callable[..., Any]
) -> None:
    _fill(tmp_path, write_cover)
    result = ingest(tmp_path)
    assert (result.summary.examples, result.summary.rows_given) == (12, 12)
    assert result.summary.rows_quarantined == 0
    assert result.summary.clutter == {
        "Thumbs.db": 2,
        "desktop.ini": 1,
        "text files": 2,
        "@eaDir": 1,
        "__MACOSX": 1,
        "empty folders": 1,
        "Git LFS pointers (run `git lfs pull`)": 1,
    }


def test_other_files_in_a_genre_folder_are_rows(tmp_path: Path) -> None:
    (tmp_path / "rock").mkdir()
    for name in ("a.jpg", "scan.pdf", "page.html", "song.mp3", "notes.txt"):
        (tmp_path / "rock" / name).write_bytes(b"x")
    assert len(find_source(tmp_path).rows()) == 5


def test_nothing_but_pointers_says_what_to_do(tmp_path: Path) -> None:
    (tmp_path / "rock").mkdir()
    for number in range(3):
        (tmp_path / "rock" / f"{number}.jpg").write_bytes(POINTER)
    with pytest.raises(DataError, match=r"no rows, but 3 Git LFS pointers \(run `git lfs pull`"):
        find_source(tmp_path).rows()


def test_a_pointer_that_a_manifest_names_is_quarantined(
    tmp_path: Path, write_cover: Write, ingest: Callable[..., Any]
) -> None:
    for seed in range(12):
        write_cover(tmp_path / f"{seed}.jpg", seed)
    (tmp_path / "12.jpg").write_bytes(POINTER)
    rows = "".join(f"{seed}.jpg,rock\n" for seed in range(13))
    (tmp_path / "labels.csv").write_text(f"image,genres\n{rows}")
    assert ingest(tmp_path).reasons() == {"12.jpg": "git_lfs_pointer"}


def test_clutter_hides_no_splits_and_fits_no_name(tmp_path: Path) -> None:
    for name in ("train/rock/a.jpg", "test/rock/b.jpg", "__MACOSX/c.jpg", "train/@eaDir/a.jpg"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(b"x")
    assert {row.split for row in find_source(tmp_path).rows()} == {"train", "test"}
    (tmp_path / "labels.csv").write_text("image,genres\na,rock\n")
    (row,) = find_source(tmp_path).rows()
    assert (row.file, row.problem) == ("train/rock/a.jpg", None)


@pytest.mark.parametrize("name", ["rock.jpg", "Thumbs.db.jpg", "readme.png", "cover", "a.pdf"])
def test_what_may_be_a_cover_is_no_clutter(name: str) -> None:
    assert clutter_file(name) is None
    assert clutter_folder("rock") is None


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("covers.zip", b"PK\x03\x04", "a ZIP archive"),
        ("covers", b"7z\xbc\xaf\x27\x1c", "a 7z archive"),
        ("covers.tar", b"labels.csv\0\0", "a tar archive"),
        ("labels.csv.gz", b"\x1f\x8b\x08", "compressed with gzip"),
        ("cover.jpg", b"\xff\xd8\xff", "an image"),
    ],
)
def test_a_file_that_is_no_manifest_is_named(
    tmp_path: Path, name: str, content: bytes, message: str
) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(ConfigError, match=f"Received: .*{message}"):
        find_source(tmp_path / name)
