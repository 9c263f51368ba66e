from __future__ import annotations

import dataclasses
import io
from collections import Counter
from collections.abc import Callable

import imagehash
import numpy as np
import pytest
from PIL import Image, ImageEnhance, ImageOps

from components.cover_example_gen.config import IngestConfig
from components.cover_example_gen.groups import Arrival, Place, assign_places
from components.cover_example_gen.images import AcceptedImages, inspect_image
from components.cover_example_gen.near_duplicates import DISTANCE, find_near_duplicates
from components.cover_example_gen.perceptual_hash import cover_hashes, perceptual_hashes
from components.cover_example_gen.splits import assign_split

SHARES = {"train": 0.7, "eval": 0.1, "test": 0.2}


def _hash(image: Image.Image) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=80)
    return inspect_image(buffer.getvalue(), AcceptedImages(("JPEG",), 1, 1000)).perceptual_hash


def _pairs(hashes: list[bytes], workers: int = 1) -> list[tuple[int, int]]:
    return [(later, earlier) for later, earlier in find_near_duplicates(hashes, workers).tolist()]


def _flipped(base: bytes, count: int, seed: int) -> bytes:
    """Returns a hash that differs from `base` in exactly `count` bits."""
    bits = np.unpackbits(np.frombuffer(base, np.uint8))
    bits[np.random.default_rng(seed).choice(256, count, replace=False)] ^= 1
    return np.packbits(bits).tobytes()


def _random_hash(seed: int) -> bytes:
    return np.random.default_rng(seed).bytes(32)


def test_the_hashes_are_the_librarys(draw_cover: Callable[..., Image.Image]) -> None:
    covers = [draw_cover(seed, 32).convert("L") for seed in range(20)]
    covers += [Image.new("L", (32, 32), level) for level in (0, 128, 255)]
    hashes = perceptual_hashes(np.stack([np.asarray(cover) for cover in covers]))
    expected = [
        np.packbits(imagehash.phash(cover, hash_size=16, highfreq_factor=2).hash)
        for cover in covers
    ]
    np.testing.assert_array_equal(hashes, np.stack(expected))


def test_flat_covers_are_compared_by_their_brightness(
    draw_cover: Callable[..., Image.Image],
) -> None:
    levels = (0, 1, 4, 40, 128, 250, 255)
    flat = [np.full((32, 32), level, np.uint8) for level in levels]
    flat[3][::2, ::2] += 2  # what coding makes of one level
    others = [np.asarray(draw_cover(seed, 32).convert("L")) for seed in range(3)]
    hashes, are_flat = cover_hashes(np.stack([*flat, *others]))
    assert are_flat.tolist() == [True] * len(flat) + [False] * len(others)
    np.testing.assert_array_equal(hashes[len(flat) :], perceptual_hashes(np.stack(others)))
    pairs = _pairs([each.tobytes() for each in hashes])
    assert pairs == [(1, 0), (2, 0), (2, 1), (6, 5)]


def test_re_issues_are_near_duplicates_and_others_are_not(
    draw_cover: Callable[..., Image.Image],
) -> None:
    original = draw_cover(1, 300)
    re_issues = [
        original.resize((150, 150)),
        ImageEnhance.Brightness(original).enhance(1.2),
        ImageOps.expand(original, 4, "white"),
    ]
    images = [original, *re_issues, *(draw_cover(seed, 300) for seed in range(2, 40))]
    pairs = _pairs([_hash(image) for image in images])
    assert {(1, 0), (2, 0), (3, 0)} <= set(pairs)
    assert max(later for later, _ in pairs) == 3


def test_the_distance_is_exact() -> None:
    base = _random_hash(0)
    beyond = [_flipped(base, DISTANCE + 1 + seed % 20, seed) for seed in range(200)]
    assert all(0 not in pair for pair in _pairs([base, *beyond]))


@pytest.mark.parametrize(("bits", "found"), [(72, 0.85), (64, 0.97), (48, 1.0)])
def test_pairs_within_the_distance_are_found(bits: int, found: float) -> None:
    hashes = [_random_hash(seed) for seed in range(300)]
    hashes += [_flipped(base, bits, seed) for seed, base in enumerate(hashes)]
    pairs = set(_pairs(hashes))
    assert sum((300 + n, n) in pairs for n in range(300)) >= found * 300
    assert pairs <= {(300 + n, n) for n in range(300)}


def test_what_is_found_does_not_depend_on_later_arrivals_or_on_workers() -> None:
    hashes = [_random_hash(seed) for seed in range(200)]
    hashes += [_flipped(base, 60, seed) for seed, base in enumerate(hashes)]
    later = [_flipped(base, 60, seed + 1000) for seed, base in enumerate(hashes)]
    before = _pairs(hashes)
    after = [pair for pair in _pairs(hashes + later) if pair[0] < len(hashes)]
    assert before == after
    assert _pairs(hashes + later) == _pairs(hashes + later, workers=4)


def test_thousands_of_covers_that_look_alike_stay_one_group() -> None:
    base = _random_hash(0)
    arrivals = [Arrival(0, f"{n:05d}", _flipped(base, n % 12, n)) for n in range(5000)]
    places = assign_places(arrivals, SHARES)
    assert {place.group for place in places.values()} == {"00000"}


def test_no_covers_have_no_pairs() -> None:
    assert _pairs([]) == []
    assert assign_places([], SHARES) == {}


def test_groups_are_transitive() -> None:
    first = _random_hash(0)
    chain = [first]
    for seed in range(4):
        chain.append(_flipped(chain[-1], 40, seed))
    distance = np.unpackbits(np.frombuffer(chain[0], np.uint8) ^ np.frombuffer(chain[-1], np.uint8))
    assert distance.sum() > DISTANCE
    places = assign_places([Arrival(0, str(n), h) for n, h in enumerate(chain)], SHARES)
    assert {place.group for place in places.values()} == {"0"}


def _in_split(split: str, start: int) -> str:
    """Returns a name whose group is drawn into a split."""
    return next(f"{n:04d}" for n in range(start, 9999) if assign_split(f"{n:04d}", SHARES) == split)


def test_a_later_cover_joins_its_group_and_never_renames_it() -> None:
    base = _random_hash(1)
    first = Arrival(0, "5000", base)
    smaller_name = Arrival(1, "0001", _flipped(base, 20, 1))
    assert assign_places([first], SHARES)["5000"].group == "5000"
    places = assign_places([first, smaller_name], SHARES)
    assert places["5000"] == places["0001"] == assign_places([first], SHARES)["5000"]
    together = assign_places([dataclasses.replace(smaller_name, delivery=0), first], SHARES)
    assert together["5000"].group == "0001"


def _bridge(left: str, right: str) -> dict[str, Place]:
    base = _random_hash(2)
    bits = np.unpackbits(np.frombuffer(base, np.uint8))
    ends = []
    for half in (slice(0, 60), slice(60, 120)):
        end = bits.copy()
        end[half] ^= 1
        ends.append(np.packbits(end).tobytes())
    earlier = sorted(
        [Arrival(0, left, ends[0]), Arrival(0, right, ends[1])], key=lambda a: a.image_id
    )
    assert len({place.group for place in assign_places(earlier, SHARES).values()}) == 2
    return assign_places([*earlier, Arrival(1, "new", base), Arrival(2, "newer", base)], SHARES)


def test_a_cover_that_joins_two_groups_of_one_split_takes_the_first_name() -> None:
    left = _in_split("train", 0)
    right = _in_split("train", int(left) + 1)
    places = _bridge(left, right)
    assert (places[left].group, places[right].group) == (left, right)
    assert places["new"].group == places["newer"].group == left


def test_a_cover_that_joins_groups_of_two_splits_has_no_split() -> None:
    left, right = _in_split("train", 0), _in_split("test", 0)
    places = _bridge(left, right)
    assert (places[left].split, places[right].split) == ("train", "test")
    assert places["new"].split is None
    assert places["new"].conflict == {"test": right, "train": left}
    assert places["newer"].split is None


def test_splits_keep_their_shares_and_never_change() -> None:
    drawn = Counter(assign_split(f"group {i}", SHARES) for i in range(20_000))
    for split, share in SHARES.items():
        assert drawn[split] / 20_000 == pytest.approx(share, abs=0.01)
    assert assign_split("abc", SHARES) == assign_split("abc", dict(reversed(SHARES.items())))


@pytest.mark.parametrize("splits", [{"train": 1.0}, {"train": 0.5, "eval": 0.1, "test": 0.1}])
def test_shares_that_are_no_split_are_refused(splits: dict[str, float]) -> None:
    with pytest.raises(ValueError, match="Expected"):
        IngestConfig(splits=splits)
