"""The registry of manifests: what a new kind gets for one new module."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import fsspec
import pytest

from components.cover_example_gen import manifests
from components.cover_example_gen.fingerprint import fingerprint_data
from components.cover_example_gen.manifests import kinds
from components.cover_example_gen.remote import local_data
from components.cover_example_gen.sources import find_source
from components.support.errors import ConfigError

WORDS = """
from components.cover_example_gen.manifests.kinds import ManifestKind, Record, Table


def open_manifest(manifest, recognise):
    def read(positions):
        for number, line in enumerate(manifest.read_text().splitlines(), start=1):
            path, *genres = line.split()
            yield Record(number, tuple((path, genres)[at] for at in positions))

    return Table(("image", "genres"), read)


KIND = ManifestKind((".words", ".wds"), "a list of words", open_manifest)
"""


@pytest.fixture
def words(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Adds a module to the package: a kind of manifest that lists a path and genres a line."""
    folder = tmp_path_factory.mktemp("package")
    (folder / "word_list.py").write_text(WORDS)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(manifests, "__path__", [*manifests.__path__, str(folder)])
        _forget()
        yield
    sys.modules.pop(f"{manifests.__name__}.word_list", None)
    _forget()


def _forget() -> None:
    kinds.kinds.cache_clear()
    kinds.suffixes.cache_clear()


def _write(folder: Path, name: str = "labels.words") -> Path:
    folder.mkdir(exist_ok=True)
    (folder / name).write_text("a.jpg soul\nb.jpg soul folk\n")
    return folder / name


def test_every_kind_has_endings_of_its_own() -> None:
    assert ".csv" in kinds.suffixes()
    assert len(set(kinds.suffixes())) == len(kinds.suffixes())
    assert all(suffix == suffix.casefold() and suffix[0] == "." for suffix in kinds.suffixes())


@pytest.mark.parametrize("name", ["covers.csv", "COVERS.CSV", "labels.Csv"])
def test_the_case_of_an_ending_does_not_matter(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_text("image,genres\na.jpg,rock\n")
    assert [row.path for row in find_source(tmp_path).rows()] == ["a.jpg"]


def test_a_named_file_with_any_other_ending_is_read_as_csv(tmp_path: Path) -> None:
    (tmp_path / "covers.txt").write_text("image,genres\na.jpg,rock\n")
    assert [row.path for row in find_source(tmp_path / "covers.txt").rows()] == ["a.jpg"]


@pytest.mark.usefixtures("words")
@pytest.mark.parametrize("name", ["labels.words", "covers.WDS"])
def test_a_new_kind_is_found_and_read(tmp_path: Path, name: str) -> None:
    manifest = _write(tmp_path, name)
    for data in (manifest, tmp_path):
        assert [
            (row.source, row.line, row.path, row.genres) for row in find_source(data).rows()
        ] == [
            (name, 1, "a.jpg", ("soul",)),
            (name, 2, "b.jpg", ("soul", "folk")),
        ]
    before = fingerprint_data(tmp_path)
    manifest.write_text("a.jpg folk\n")
    assert fingerprint_data(tmp_path) != before


@pytest.mark.usefixtures("words")
def test_a_new_kind_is_read_beside_its_images_in_an_object_store() -> None:
    store = fsspec.filesystem("memory")
    store.pipe({"/bucket/covers/list.words": b"a.jpg soul\n", "/bucket/covers/a.jpg": b"image"})
    with local_data("memory://bucket/covers/list.words") as data:
        assert [row.path for row in find_source(data).rows()] == ["a.jpg"]
        assert (data.parent / "a.jpg").read_bytes() == b"image"


@pytest.mark.usefixtures("words")
def test_messages_name_every_kind(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"Give a CSV file .* or a list of words, or a folder"):
        find_source(tmp_path / "none")
    for name in ("a.csv", "b.words"):
        _write(tmp_path, name)
    with pytest.raises(
        ConfigError,
        match=r"named labels\.csv or .*labels\.words or labels\.wds\. Received: a\.csv, b\.words\.",
    ):
        find_source(tmp_path)
