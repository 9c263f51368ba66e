"""What is kept comes back bit by bit, or not at all: through kills, company, damage and bounds."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from components.trainer.feature_store import FeatureStore, covers_in_a_segment

KEY, OTHER_KEY = "a" * 64, "b" * 64
_PLENTY = 1e9
_SHAPE = (3, 5)
_PROJECT = Path(__file__).parents[3]

# Writes segments of ten covers for as long as it lives, or so many, and says so after each.
_WRITER = """
import sys
from pathlib import Path
import numpy as np
from components.trainer.feature_store import FeatureStore
from tests.components.trainer.test_feature_store import KEY, features_of

folder, first, segments, limit = sys.argv[1:]
store = FeatureStore(Path(folder), float(limit))
for segment in range(int(segments)):
    ids = [f"cover-{int(first) + 10 * segment + place}" for place in range(10)]
    store.write(KEY, ids, features_of(ids))
    print(segment, flush=True)
"""


def features_of(ids: list[str]) -> np.ndarray:
    """Returns other features for each cover, always the same."""
    seeds = [int(each.rsplit("-", 1)[1]) for each in ids]
    return np.stack([np.random.default_rng(seed).random(_SHAPE, np.float32) for seed in seeds])


def names(first: int, count: int) -> list[str]:
    return [f"cover-{number}" for number in range(first, first + count)]


def read(store: FeatureStore, ids: list[str], key: str = KEY) -> tuple[np.ndarray, np.ndarray]:
    features = np.full((len(ids), *_SHAPE), -1, np.float32)
    return store.read(key, ids, features), features


def write(store: FeatureStore, ids: list[str], key: str = KEY) -> Path:
    before = set(store.folder.iterdir())
    store.write(key, ids, features_of(ids))
    (segment,) = set(store.folder.iterdir()) - before
    return segment


def writer(folder: Path, first: int, segments: int, limit: float = _PLENTY) -> subprocess.Popen:
    command = [sys.executable, "-c", _WRITER, str(folder), str(first), str(segments), str(limit)]
    environment = {**os.environ, "PYTHONPATH": str(_PROJECT)}
    return subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True)


def assert_whole(missing: np.ndarray, features: np.ndarray, ids: list[str]) -> None:
    """What was found is what was written, and nothing was done to other rows."""
    found = np.setdiff1d(np.arange(len(ids)), missing)
    if len(found):
        np.testing.assert_array_equal(features[found], features_of([ids[row] for row in found]))
    assert (features[missing] == -1).all()


def test_what_was_written_is_read_bit_by_bit_by_another_training(tmp_path):
    odd = np.array([np.nan, -0.0, np.inf, 1e-45, 1 / 3], np.float32)
    features = np.stack([np.tile(odd, (3, 1)), np.ones(_SHAPE, np.float32)])
    FeatureStore(tmp_path, _PLENTY).write(KEY, ["x", "y"], features)
    again = np.zeros_like(features)
    assert len(FeatureStore(tmp_path, _PLENTY).read(KEY, ["y", "x"], again)) == 0
    assert again[::-1].tobytes() == features.tobytes()


def test_only_what_is_not_there_is_missing(tmp_path):
    store = FeatureStore(tmp_path, _PLENTY)
    write(store, names(0, 3))
    write(store, names(10, 2))
    write(store, names(20, 2), OTHER_KEY)
    ids = ["cover-11", "cover-5", "cover-0", "cover-20", "cover-11"]
    missing, features = read(store, ids)
    assert missing.tolist() == [1, 3]
    assert_whole(missing, features, ids)
    assert read(store, ["cover-20"], OTHER_KEY)[0].tolist() == []


@pytest.mark.parametrize("damage", ["empty", "cut", "header", "ids", "features", "no archive"])
def test_a_damaged_segment_is_removed_and_its_covers_are_missing(damage, tmp_path, caplog):
    store = FeatureStore(tmp_path, _PLENTY)
    write(store, names(0, 4))
    segment = write(store, names(4, 4))
    content = bytearray(segment.read_bytes())
    places = {"header": 1, "ids": content.index(b"cover-4"), "features": len(content) // 2}
    if damage in places:
        content[places[damage]] ^= 0x10
    shorter = {"empty": b"", "cut": content[:-50], "no archive": b"x" * 500}
    segment.write_bytes(shorter.get(damage, content))
    ids = names(0, 8)
    missing, features = read(FeatureStore(tmp_path, _PLENTY), ids)
    assert missing.tolist() == [4, 5, 6, 7]
    assert_whole(missing, features, ids)
    assert not segment.exists()
    assert "Removing the damaged file" in caplog.text


def test_no_flipped_bit_and_no_cut_gives_wrong_features(tmp_path):
    ids = names(0, 2)
    segment = write(FeatureStore(tmp_path, _PLENTY), ids)
    content = segment.read_bytes()
    flipped = [
        content[:place] + bytes([content[place] ^ 1 << place % 8]) + content[place + 1 :]
        for place in range(len(content))
    ]
    lost = 0
    for damaged in (*flipped, *(content[:length] for length in range(0, len(content), 7))):
        segment.write_bytes(damaged)
        missing, features = read(FeatureStore(tmp_path, _PLENTY), ids)
        assert_whole(missing, features, ids)
        assert segment.exists() == (len(missing) == 0)
        lost += len(missing) > 0
    assert lost > len(content) / 2


def test_features_of_another_shape_are_not_taken(tmp_path, caplog):
    store = FeatureStore(tmp_path, _PLENTY)
    segment = write(store, ["cover-0"])
    assert store.read(KEY, ["cover-0"], np.zeros((1, 7), np.float32)).tolist() == [0]
    assert not segment.exists()
    assert "Expected features (1, 7) float32. Received: (1, 3, 5) float32" in caplog.text


def test_a_kill_leaves_whole_segments_and_what_is_half_written_is_swept(tmp_path, caplog):
    process = writer(tmp_path, 0, 1_000_000)
    assert process.stdout is not None
    for _ in range(30):
        process.stdout.readline()
    process.send_signal(signal.SIGKILL)
    process.communicate()
    partial = tmp_path / f"{KEY[:32]}-{'1' * 32}.npz.partial"
    partial.write_bytes(b"half")
    ids = names(0, 300)
    missing, features = read(FeatureStore(tmp_path, _PLENTY), ids)
    assert missing.tolist() == []
    assert_whole(missing, features, ids)
    assert not caplog.records
    assert partial.exists()  # Another training may be writing it.
    long_ago = time.time() - 2 * 3600
    os.utime(partial, (long_ago, long_ago))
    FeatureStore(tmp_path, _PLENTY)
    assert not partial.exists()


def test_trainings_that_write_at_once_do_not_disturb_each_other(tmp_path, caplog):
    """The same covers twice, others once, and a reader beside them."""
    processes = [writer(tmp_path, first, 40) for first in (0, 0, 200)]
    ids = names(0, 600)
    while any(process.poll() is None for process in processes):
        assert_whole(*read(FeatureStore(tmp_path, _PLENTY), ids), ids)
    assert [process.wait() for process in processes] == [0, 0, 0]
    missing, features = read(FeatureStore(tmp_path, _PLENTY), ids)
    assert missing.tolist() == []
    assert_whole(missing, features, ids)
    assert not caplog.records


def test_trainings_that_share_a_full_store_stay_within_its_bound(tmp_path, caplog):
    limit = 60_000
    processes = [writer(tmp_path, first, 100, limit) for first in (0, 1000)]
    for process in processes:
        process.communicate()
    assert [process.returncode for process in processes] == [0, 0]
    sizes = [segment.stat().st_size for segment in tmp_path.iterdir()]
    assert sum(sizes) <= limit + 2 * max(sizes)  # Both may have found room for the last.
    ids = names(0, 2000)
    missing, features = read(FeatureStore(tmp_path, _PLENTY), ids)
    assert len(missing) < len(ids)
    assert_whole(missing, features, ids)
    assert not caplog.records


def age(segment: Path, days: float) -> None:
    then = time.time() - days * 24 * 3600
    os.utime(segment, (then, then))


def test_what_was_used_longest_ago_goes_first(tmp_path):
    earlier = FeatureStore(tmp_path, _PLENTY)
    segments = [
        write(earlier, names(10 * number, 100), key)
        for number, key in enumerate((KEY, OTHER_KEY, KEY))
    ]
    size = segments[0].stat().st_size
    for segment, days in zip(segments, (3, 2, 1), strict=True):
        age(segment, days)
    store = FeatureStore(tmp_path, 3.5 * size)
    read(store, names(0, 5))  # So the oldest is now the one used last.
    new = write(store, names(1000, 100))
    assert set(tmp_path.iterdir()) == {segments[0], segments[2], new}
    assert sum(segment.stat().st_size for segment in tmp_path.iterdir()) <= 3.5 * size


def test_what_a_training_uses_stays_and_a_full_store_is_said_once(tmp_path, caplog):
    earlier = FeatureStore(tmp_path, _PLENTY)
    segments = {write(earlier, names(0, 100)), write(earlier, names(100, 100), OTHER_KEY)}
    for segment in segments:
        age(segment, 1)
    size = next(iter(segments)).stat().st_size
    store = FeatureStore(tmp_path, 2.5 * size)
    assert read(store, names(0, 100))[0].tolist() == []
    assert read(store, names(100, 100), OTHER_KEY)[0].tolist() == []
    for first in (200, 300):
        store.write(KEY, names(first, 100), features_of(names(first, 100)))
    assert set(tmp_path.iterdir()) == segments
    (record,) = caplog.records
    assert "No more features can be kept" in record.message


def test_a_lower_bound_holds_from_the_next_training_on(tmp_path):
    store = FeatureStore(tmp_path, _PLENTY)
    segments = [write(store, names(100 * number, 100)) for number in range(3)]
    for segment, days in zip(segments, (3, 2, 1), strict=True):
        age(segment, days)
    read(FeatureStore(tmp_path, 1.5 * segments[0].stat().st_size), names(0, 100))
    assert set(tmp_path.iterdir()) == {segments[0]}


def test_files_of_others_are_never_removed_nor_counted(tmp_path):
    foreign = {
        tmp_path / name
        for name in (
            "embeddings.npz",
            f"{KEY[:32]}-1.npz",
            f"{KEY[:32]}.npz",
            f"{KEY[:32]}-{'A' * 32}.npz",
            "video.mp4.partial",
            "embeddings.npz.partial",
        )
    }
    for path in foreign:
        path.write_bytes(b"x" * 100_000)
        age(path, 30)
    segment = write(FeatureStore(tmp_path, 50_000), names(0, 100))
    assert read(FeatureStore(tmp_path, 50_000), names(0, 100))[0].tolist() == []
    assert set(tmp_path.iterdir()) == {*foreign, segment}
    FeatureStore(tmp_path, 1).read(OTHER_KEY, ["x"], np.zeros((1, 1), np.float32))
    assert set(tmp_path.iterdir()) == foreign


def test_a_disk_that_refuses_is_a_warning_once(tmp_path, caplog):
    store = FeatureStore(tmp_path / "gone", _PLENTY)
    for _ in range(2):
        store.write(KEY, ["cover-0"], features_of(["cover-0"]))
    (record,) = caplog.records
    assert "No such file" in record.message


@pytest.mark.parametrize(
    ("shape", "covers"), [((6000,), 256), ((12, 12, 1280), 91), ((1 << 25,), 1)]
)
def test_a_segment_is_a_few_hundred_covers_or_some_megabytes(shape, covers):
    assert covers_in_a_segment(np.empty((1, *shape), np.float32)) == covers
