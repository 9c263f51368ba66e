"""What workers of an engine find together is what one process finds."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

import components.cover_example_gen.ingest as module
from components.contracts.label_schema import LabelSchema
from components.cover_example_gen import divided_search
from components.cover_example_gen.divided_search import as_arrivals, put_in_order
from components.cover_example_gen.images import ImageFacts
from components.cover_example_gen.near_duplicates import (
    SEARCHES,
    as_pairs,
    find_near_duplicates,
    search,
)
from components.cover_example_gen.plan import _arrivals
from components.cover_example_gen.rows import InspectedRow
from components.cover_example_gen.sources import Row


@pytest.fixture
def hashes() -> NDArray[np.uint8]:
    """Hashes of which some are alike, and many are the same."""
    random = np.random.default_rng(0)
    bits = random.integers(0, 2, (600, 256), np.uint8)
    bits[:100] = bits[100:200] ^ (random.random((100, 256)) < 0.2)
    bits[-50:] = bits[-1] ^ (random.random((50, 256)) < 0.01)
    return np.packbits(bits, axis=1)


@pytest.mark.parametrize("parts", [1, 2, 7])
def test_the_parts_of_all_searches_find_what_one_process_does(
    hashes: NDArray[np.uint8], parts: int
) -> None:
    expected = find_near_duplicates([each.tobytes() for each in hashes])
    found = [search(hashes, each, part, parts) for each in range(SEARCHES) for part in range(parts)]
    assert len(expected) > 100
    np.testing.assert_array_equal(as_pairs(found, len(hashes)), expected)
    assert len(as_pairs(found[:1], len(hashes))) < len(expected), "one part finds some"


def _row(number: int, delivery: int, has_image: bool = True) -> InspectedRow:
    identity = hashlib.sha256(str(number).encode())
    facts = ImageFacts(identity.hexdigest(), "JPEG", 9, 9, 9, 1, 0.5, identity.digest()[::-1])
    return InspectedRow(
        Row("", None, str(number), ()), delivery, facts=facts if has_image else None
    )


def test_arrivals_are_ordered_as_the_plan_orders_them(tmp_path: Path) -> None:
    random = np.random.default_rng(1)
    rows = [
        _row(int(random.integers(40)), int(random.integers(3)), bool(random.random() < 0.9))
        for _ in range(100)
    ]
    files = [tmp_path / f"{number}.npy" for number in range(4)]
    for number, file in enumerate(files):
        np.save(file, as_arrivals(rows[number::4]))
    covers = put_in_order(files, tmp_path / "hashes.npy")
    planned = _arrivals(sorted(rows, key=lambda row: row.delivery))
    assert covers == len(planned) > 30
    hashes = [each.tobytes() for each in np.load(tmp_path / "hashes.npy")]
    assert hashes == [arrival.perceptual_hash for arrival in planned]


@pytest.fixture
def folder(tmp_path: Path, write_cover: Callable[..., Path], labels: LabelSchema) -> Path:
    """Covers by genre, some of which are in two folders or in two qualities."""
    for seed in range(40):
        write_cover(tmp_path / labels.genres[seed % 5] / f"{seed:02d}.jpg", seed)
    for seed in range(0, 40, 8):
        write_cover(tmp_path / "jazz" / f"again-{seed:02d}.jpg", seed)
        write_cover(tmp_path / "rock" / f"coded-{seed:02d}.jpg", seed, quality=60)
    return tmp_path


@pytest.fixture
def with_engine(monkeypatch: pytest.MonkeyPatch) -> Callable[[], None]:
    """Returns a function after which ingest works as on an engine."""

    def change() -> None:
        monkeypatch.setattr(module, "runs_in_this_process", lambda pipeline: False)
        monkeypatch.setattr(module, "_ROWS_PER_BATCH_OF_MANY_WORKERS", 5)
        monkeypatch.setattr(divided_search, "_COVERS_PER_SEARCH", 10)

    return change


@pytest.mark.parametrize("option", [{}, {"near_duplicates": {"labels": "quarantine"}}])
def test_ingest_on_many_workers_gives_the_same_bytes(
    folder: Path,
    ingest: Callable[..., Any],
    with_engine: Callable[[], None],
    option: dict[str, Any],
) -> None:
    (folder / "jazz" / "empty.jpg").touch()
    usual = ingest(folder, **option)
    with_engine()
    again = ingest(folder, **option)
    assert usual.summary.contradicting_pairs, "there are near-duplicates"
    assert usual.shards() == again.shards()
    assert usual.summary == again.summary
    assert usual.quarantined.equals(again.quarantined)
    assert not [each for each in (again.folder / "quarantine").iterdir() if each.is_dir()]


def test_without_any_image_there_is_nothing_to_search(
    tmp_path: Path, ingest: Callable[..., Any], with_engine: Callable[[], None]
) -> None:
    (tmp_path / "jazz").mkdir()
    (tmp_path / "jazz" / "empty.jpg").touch()
    assert ingest(tmp_path).summary.rows_quarantined == 1
    with_engine()
    assert ingest(tmp_path).summary.rows_quarantined == 1
