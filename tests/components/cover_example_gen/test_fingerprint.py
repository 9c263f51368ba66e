"""The fingerprint reads what ingest would read and nothing else, and says how far it is."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from components.cover_example_gen import files
from components.cover_example_gen.fingerprint import fingerprint_data
from components.support import progress

LIMIT = 1 << 20
Write = Callable[..., Path]


@pytest.fixture
def folder(tmp_path: Path, write_cover: Write) -> Path:
    """A data directory with one good row, beside a file that is none of its business."""
    (tmp_path / "outside.jpg").write_bytes(b"secret")
    write_cover(tmp_path / "data" / "good.jpg", 1)
    return tmp_path / "data"


def name_in_manifest(folder: Path, *paths: str) -> Path:
    lines = ["image,genres", "good.jpg,rock", *(f"{path},rock" for path in paths)]
    (folder / "labels.csv").write_text("\n".join(lines) + "\n")
    return folder


@pytest.fixture
def opened(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The files that were opened through the checks of the data directory."""
    seen: list[str] = []
    original = os.open

    def note(path: str, *arguments: int) -> int:
        descriptor = original(path, *arguments)
        seen.append(os.path.realpath(path))
        return descriptor

    monkeypatch.setattr(files.os, "open", note)
    return seen


@pytest.mark.parametrize(
    "path", ["../outside.jpg", "{root}/outside.jpg", "out/outside.jpg", "link.jpg", "file:///etc/a"]
)
def test_what_lies_outside_is_not_read(folder: Path, path: str, opened: list[str]) -> None:
    outside = folder.parent / "outside.jpg"
    (folder / "link.jpg").symlink_to(outside)
    (folder / "out").symlink_to(folder.parent)
    name_in_manifest(folder, path.format(root=folder.parent))
    before = fingerprint_data(folder, largest_file=LIMIT)
    outside.write_bytes(b"another secret")
    assert fingerprint_data(folder, largest_file=LIMIT) == before
    assert str(outside) not in opened


def test_a_file_beyond_the_limit_is_not_read(folder: Path) -> None:
    with (folder / "huge.jpg").open("wb") as huge:
        huge.truncate(200 << 30)
    name_in_manifest(folder, "huge.jpg")
    before = fingerprint_data(folder, largest_file=LIMIT)
    with (folder / "huge.jpg").open("wb") as small:
        small.truncate(10)
    assert fingerprint_data(folder, largest_file=LIMIT) != before


def test_a_raised_limit_changes_the_fingerprint_of_a_file_that_it_lets_in(folder: Path) -> None:
    (folder / "big.jpg").write_bytes(bytes(LIMIT + 1))
    name_in_manifest(folder, "big.jpg")
    refused = fingerprint_data(folder, largest_file=LIMIT)
    assert fingerprint_data(folder, largest_file=2 * LIMIT) != refused


@pytest.mark.parametrize("path", ["new.jpg", "new", "sub/new.jpg", "sub\\new.jpg"])
def test_a_file_that_appears_changes_the_fingerprint(
    folder: Path, path: str, write_cover: Write
) -> None:
    name_in_manifest(folder, path, "gone.jpg")
    before = fingerprint_data(folder, largest_file=LIMIT)
    write_cover(folder / ("sub/new.jpg" if "sub" in path else "new.jpg"), 2)
    assert fingerprint_data(folder, largest_file=LIMIT) != before


def test_rows_whose_files_are_missing_cost_one_listing_of_their_folder(
    folder: Path, opened: list[str]
) -> None:
    (folder / "covers").mkdir()
    name_in_manifest(folder, *(f"covers/{number}.jpg" for number in range(1000)))
    fingerprint_data(folder, largest_file=LIMIT)
    assert len(opened) < 50


def test_progress_says_how_many_files_are_done(folder: Path) -> None:
    name_in_manifest(folder, *(f"covers/{number}.jpg" for number in range(1000)))
    heard: list[tuple[str, int, int, str]] = []
    with progress.listening(lambda *report: heard.append(report)):
        fingerprint_data(folder, largest_file=LIMIT, stage="Prepare")
    assert {stage for stage, *_ in heard} == {"Prepare"}
    assert heard[-1][1:3] == (1001, 1001)
    assert any("rows read" in detail for *_, detail in heard)
    assert "files fingerprinted" in heard[-1][3]
