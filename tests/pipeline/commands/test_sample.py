from __future__ import annotations

import csv
import hashlib
import json
import shutil
from collections import Counter
from pathlib import Path

import imagehash
import pytest
from PIL import Image

from components.support.errors import ConfigError
from pipeline.commands.sample import _plan, write_sample

GENRES = ("ambient", "folk", "metal", "soul", "techno")


def read_labels(directory: Path) -> list[tuple[str, list[str]]]:
    with (directory / "labels.csv").open(encoding="utf-8", newline="") as file:
        return [(row["image"], row["genres"].split("|")) for row in csv.DictReader(file)]


def fingerprint(directory: Path) -> dict[str, str]:
    files = (path for path in directory.rglob("*") if path.is_file())
    return {
        path.relative_to(directory).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in files
    }


@pytest.fixture(scope="module")
def sample(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One sample that no test changes; 100 covers, hence two re-issues."""
    return write_sample(tmp_path_factory.mktemp("data") / "sample", genres=GENRES, images=100)


def test_labels_name_every_image_once_and_in_order(sample: Path) -> None:
    header = (sample / "labels.csv").read_text(encoding="utf-8").splitlines()[0]
    assert header == "image,genres"
    assert [name for name, _ in read_labels(sample)] == [f"images/{n:05d}.jpg" for n in range(100)]


def test_folder_holds_the_sample_and_nothing_else(sample: Path) -> None:
    names = {f"images/{number:05d}.jpg" for number in range(100)}
    assert set(fingerprint(sample)) == names | {"labels.csv", "sample.json"}
    assert [path.name for path in sample.parent.iterdir()] == ["sample"]


def test_images_are_covers(sample: Path) -> None:
    for name, _ in read_labels(sample):
        with Image.open(sample / name) as image:
            image.load()
            assert (image.format, image.mode, image.size) == ("JPEG", "RGB", (300, 300))


def test_every_file_is_distinct(sample: Path) -> None:
    assert len(set(fingerprint(sample).values())) == 102


@pytest.mark.parametrize("count", [5, 12])
def test_genres_are_frequent_alike_and_some_covers_have_several(count: int) -> None:
    labels, _ = _plan(count, images=600, seed=3)
    assert all(genres == sorted(set(genres)) for genres in labels)
    frequency = Counter(genre for genres in labels for genre in genres)
    assert set(frequency) == set(range(count))
    assert max(frequency.values()) < 1.5 * min(frequency.values())
    sizes = Counter(len(genres) for genres in labels)
    assert set(sizes) == {1, 2, 3}
    assert 0.15 < sizes[2] / 600 < 0.30
    assert 0.00 < sizes[3] / 600 < 0.10


def test_reissues_look_alike_and_share_their_genres(sample: Path) -> None:
    labels, sources = _plan(len(GENRES), images=100, seed=0)
    rows = read_labels(sample)
    assert len(sources) == 2
    for copy, source in sources.items():
        assert source < copy and source not in sources
        assert rows[copy][1] == rows[source][1] == [GENRES[genre] for genre in labels[source]]
        hashes = [imagehash.phash(Image.open(sample / rows[index][0])) for index in (copy, source)]
        assert hashes[0] - hashes[1] <= 10


def test_other_covers_do_not_look_alike(sample: Path) -> None:
    _, sources = _plan(len(GENRES), images=100, seed=0)
    rows = read_labels(sample)
    kept = [name for index, (name, _) in enumerate(rows) if index not in sources]
    hashes = [imagehash.phash(Image.open(sample / name)) for name in kept]
    distances = [a - b for number, a in enumerate(hashes) for b in hashes[:number]]
    assert min(distances) > 8


def test_same_arguments_make_the_same_bytes(tmp_path: Path) -> None:
    first = write_sample(tmp_path / "first", genres=GENRES, images=6, seed=4)
    second = write_sample(tmp_path / "second", genres=GENRES, images=6, seed=4)
    assert fingerprint(first) == fingerprint(second)


def test_another_seed_makes_other_covers(tmp_path: Path) -> None:
    first = write_sample(tmp_path / "first", genres=GENRES, images=4, seed=0)
    second = write_sample(tmp_path / "second", genres=GENRES, images=4, seed=1)
    assert not set(fingerprint(first).values()) & set(fingerprint(second).values())


@pytest.mark.parametrize("count", [2, 3, 20])
def test_any_number_of_genres(tmp_path: Path, count: int) -> None:
    genres = [f"genre {number}" for number in range(count)]
    directory = write_sample(tmp_path / "sample", genres=genres, images=20)
    assert {genre for _, labels in read_labels(directory) for genre in labels} == set(genres)


def test_genre_names_survive_the_csv(tmp_path: Path) -> None:
    genres = ["R&B, soul", 'so-called "jazz"', "Fado é"]
    directory = write_sample(tmp_path / "sample", genres=genres, images=3)
    assert {genre for _, labels in read_labels(directory) for genre in labels} == set(genres)


def test_one_image_and_missing_parents(tmp_path: Path) -> None:
    directory = write_sample(tmp_path / "a" / "b", genres=GENRES, images=1)
    assert directory == (tmp_path / "a" / "b").resolve()
    assert len(read_labels(directory)) == 1


def test_same_sample_again_writes_nothing(tmp_path: Path) -> None:
    steps: list[tuple[int, int]] = []
    arguments = {"genres": GENRES, "images": 3, "progress": lambda *step: steps.append(step)}
    directory = write_sample(tmp_path / "sample", **arguments)
    assert steps == [(1, 3), (2, 3), (3, 3)]
    before = {path: path.stat().st_mtime_ns for path in directory.rglob("*")}
    assert write_sample(directory, **arguments) == directory
    assert len(steps) == 3
    assert {path: path.stat().st_mtime_ns for path in directory.rglob("*")} == before


def test_fills_an_existing_empty_folder_without_replacing_it(tmp_path: Path) -> None:
    inode = tmp_path.stat().st_ino
    write_sample(tmp_path, genres=GENRES, images=2)
    assert tmp_path.stat().st_ino == inode
    assert {path.name for path in tmp_path.iterdir()} == {"images", "labels.csv", "sample.json"}


@pytest.mark.parametrize("exists", [True, False], ids=["existing folder", "new folder"])
def test_an_interrupted_run_leaves_nothing(tmp_path: Path, exists: bool) -> None:
    directory = tmp_path / "sample"
    if exists:
        directory.mkdir()

    def interrupt(done: int, total: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_sample(directory, genres=GENRES, images=2, progress=interrupt)
    assert [path.name for path in tmp_path.rglob("*")] == (["sample"] if exists else [])


@pytest.mark.parametrize(
    "changes", [{"seed": 1}, {"images": 3}, {"genres": GENRES[::-1]}], ids=lambda it: next(iter(it))
)
def test_refuses_a_sample_made_with_other_arguments(tmp_path: Path, changes: dict) -> None:
    arguments = {"genres": GENRES, "images": 2, "seed": 0}
    directory = write_sample(tmp_path / "sample", **arguments)
    before = fingerprint(directory)
    with pytest.raises(ConfigError, match="Received: a sample made with"):
        write_sample(directory, **{**arguments, **changes})
    assert fingerprint(directory) == before


def test_refuses_an_incomplete_sample(tmp_path: Path) -> None:
    directory = write_sample(tmp_path / "sample", genres=GENRES, images=3)
    (directory / "images" / "00001.jpg").unlink()
    with pytest.raises(ConfigError, match="an incomplete sample \\(2 of 3 images\\)"):
        write_sample(directory, genres=GENRES, images=3)


def test_refuses_a_foreign_folder_and_leaves_it_alone(tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").write_text("chapter one")
    with pytest.raises(ConfigError, match="Expected an absent or empty directory"):
        write_sample(tmp_path, genres=GENRES, images=2)
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.txt"]


@pytest.mark.parametrize("receipt", ["", "[1]", "{}", "\udcff"])
def test_refuses_a_folder_with_a_foreign_receipt(tmp_path: Path, receipt: str) -> None:
    (tmp_path / "sample.json").write_text(receipt, encoding="utf-8", errors="surrogateescape")
    with pytest.raises(ConfigError, match="Received: "):
        write_sample(tmp_path, genres=GENRES, images=2)


def test_refuses_a_file(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigError, match="Received: something else at"):
        write_sample(tmp_path / "file", genres=GENRES, images=2)


def test_refuses_a_place_that_cannot_be_written_to(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigError, match="Expected a writable location"):
        write_sample(tmp_path / "file" / "sample", genres=GENRES, images=2)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"images": 0}, "at least 1 image. Received: images=0"),
        ({"seed": -1}, "a seed of 0 or more. Received: seed=-1"),
        ({"genres": []}, "two or more distinct genres"),
        ({"genres": ["folk"]}, "two or more distinct genres"),
        ({"genres": ["folk", "folk"]}, "two or more distinct genres"),
        ({"genres": "folk"}, "two or more distinct genres"),
        ({"genres": ["folk", ""]}, "genre names without"),
        ({"genres": ["folk", "a|b"]}, "genre names without"),
        ({"genres": ["folk", " soul"]}, "genre names without"),
        ({"genres": ["folk", "new\nwave"]}, "genre names without"),
    ],
)
def test_refuses_arguments_out_of_range(tmp_path: Path, changes: dict, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        write_sample(tmp_path / "sample", **{"genres": GENRES, "images": 2, **changes})
    assert not any(tmp_path.iterdir())


def test_receipt_tells_how_the_sample_was_made(sample: Path) -> None:
    receipt = json.loads((sample / "sample.json").read_text(encoding="utf-8"))
    assert receipt == {"version": 1, "genres": list(GENRES), "images": 100, "seed": 0}


def test_a_copy_of_a_sample_is_recognised(sample: Path, tmp_path: Path) -> None:
    shutil.copytree(sample, tmp_path / "copy")
    assert write_sample(tmp_path / "copy", genres=GENRES, images=100) == tmp_path / "copy"
