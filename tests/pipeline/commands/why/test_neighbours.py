from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from components.contracts.cover_embeddings import (
    CoverEmbeddings,
    read_cover_embeddings,
    write_cover_embeddings,
)
from components.support.errors import DeploymentError
from pipeline.commands.why.neighbours import COUNTED, SHOWN, TrainingCovers

GENRES = ("pop", "rock")


def _circle(count: int) -> CoverEmbeddings:
    """Returns covers on a half circle, of growing length, which a cosine ignores."""
    angles = np.linspace(0, np.pi, count)
    points = np.stack([np.cos(angles), np.sin(angles)], axis=1) * np.arange(1, count + 1)[:, None]
    labels = np.stack([angles < 1.5, angles > 1.5], axis=1)
    ids = tuple(f"{place:02}" for place in range(count))
    return CoverEmbeddings(ids, tuple(f"{each}.jpg" for each in ids), labels, points)


def test_the_nearest_are_those_of_the_smallest_angle() -> None:
    covers = _circle(61)
    nearest = TrainingCovers(GENRES, covers, Path()).nearest(
        0.01 * covers.embeddings[10], "another"
    )
    assert nearest.among == 61
    assert nearest.covers[0].identity == "10"
    assert nearest.covers[0].similarity == pytest.approx(1.0)
    assert {each.identity for each in nearest.covers[1:3]} == {"09", "11"}
    similarities = [each.similarity for each in nearest.covers]
    assert similarities == sorted(similarities, reverse=True)
    assert similarities[1] == pytest.approx(np.cos(np.pi / 60))
    assert len(nearest.covers) == SHOWN
    assert (nearest.counted, nearest.genres) == (COUNTED, {"pop": COUNTED})


def test_a_cover_is_not_its_own_neighbour() -> None:
    covers = _circle(61)
    nearest = TrainingCovers(GENRES, covers, Path()).nearest(covers.embeddings[10], "10")
    assert nearest.itself is not None
    assert (nearest.itself.identity, nearest.itself.genres) == ("10", ("pop",))
    assert {each.identity for each in nearest.covers[:2]} == {"09", "11"}
    assert (nearest.counted, len(nearest.covers)) == (COUNTED, SHOWN)


def test_of_few_covers_all_are_counted() -> None:
    nearest = TrainingCovers(GENRES, _circle(4), Path()).nearest(np.array([0.0, 1.0]), "another")
    assert (nearest.counted, nearest.genres) == (4, {"pop": 2, "rock": 2})


def test_a_cover_of_which_nothing_is_seen_is_near_none() -> None:
    nearest = TrainingCovers(GENRES, _circle(9), Path()).nearest(np.zeros(2), "another")
    assert {each.similarity for each in nearest.covers} == {0.0}


def test_what_is_written_is_read_and_what_is_damaged_is_refused(tmp_path: Path) -> None:
    assert read_cover_embeddings(tmp_path) is None
    covers = _circle(9)
    write_cover_embeddings(tmp_path, covers)
    read = read_cover_embeddings(tmp_path)
    assert read is not None
    assert (read.ids, read.paths) == (covers.ids, covers.paths)
    np.testing.assert_array_equal(read.labels, covers.labels)
    np.testing.assert_allclose(read.embeddings, covers.embeddings, rtol=1e-3, atol=1e-3)
    file = tmp_path / "cover_embeddings.npz"
    whole = file.read_bytes()
    for damaged in (b"", b"no archive", whole[: len(whole) // 2], whole[:-200]):
        file.write_bytes(damaged)
        with pytest.raises(DeploymentError, match=r"Expected .*cover_embeddings\.npz"):
            read_cover_embeddings(tmp_path)
    np.savez(file, ids=["a"], paths=["a"], labels=np.zeros((2, 2), bool), embeddings=np.eye(2))
    with pytest.raises(DeploymentError, match="do not belong together"):
        read_cover_embeddings(tmp_path)
