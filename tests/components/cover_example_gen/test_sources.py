from __future__ import annotations

from pathlib import Path

import pytest

from components.cover_example_gen.sources import find_source
from components.support.errors import ConfigError, DataError


def test_a_folder_per_genre_gives_a_row_per_file(tmp_path: Path) -> None:
    for name in ("rock/a.jpg", "rock/live/b.jpg", "pop/a.jpg", "loose.jpg", ".hidden", "pop/.x"):
        file = tmp_path / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.touch()
    rows = find_source(tmp_path).rows()
    assert {(row.path, row.genres) for row in rows} == {
        ("loose.jpg", ()),
        ("pop/a.jpg", ("pop",)),
        ("rock/a.jpg", ("rock",)),
        ("rock/live/b.jpg", ("rock",)),
    }


def test_a_manifest_gives_a_row_per_line_with_its_number(tmp_path: Path) -> None:
    manifest = tmp_path / "labels.csv"
    manifest.write_bytes(
        b"\xef\xbb\xbfGenres,image,year\r\nrock| pop ,a.jpg,1999\r\n\r\n"
        b",b.jpg,2000\r\nrock,c.jpg\r\n"
    )
    rows = find_source(tmp_path).rows()
    assert [(row.line, row.path, row.genres) for row in rows[:2]] == [
        (2, "a.jpg", ("rock", "pop")),
        (4, "b.jpg", ()),
    ]
    assert rows[2].line == 5
    assert rows[2].problem == "Expected 3 values, as in the header. Received: 2."


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "name the columns"),
        (b"file,genre\na.jpg,rock\n", "name the columns"),
        (b"image,genres,genres\na.jpg,rock,pop\n", "once each"),
        (b"image,genres\n", "no row"),
        ("image,genres\ncaf\xe9.jpg,rock\n".encode("latin-1"), "byte 0xe9 on line 2"),
    ],
)
def test_an_unusable_manifest_is_explained(tmp_path: Path, content: bytes, message: str) -> None:
    manifest = tmp_path / "covers.csv"
    manifest.write_bytes(content)
    with pytest.raises(DataError, match=message):
        find_source(manifest).rows()


def test_nothing_there_and_several_manifests_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="nothing there"):
        find_source(tmp_path / "none")
    (tmp_path / "a.csv").touch()
    (tmp_path / "b.csv").touch()
    with pytest.raises(ConfigError, match=r"a\.csv, b\.csv"):
        find_source(tmp_path)
