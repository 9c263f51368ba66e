from __future__ import annotations

import numpy as np
import pytest

from pipeline.commands.why.heat_map import CELLS, heat_maps

SIDE = 64


def _stripes(side: int = SIDE) -> np.ndarray:
    """Draws a cover that a blur flattens everywhere."""
    pixels = np.zeros((side, side, 3), np.uint8)
    pixels[:, ::2] = 255
    return pixels


def _looks_at(rows: slice, columns: slice, sign: float = 1.0):
    """Returns a model of two genres, the first of which depends on the contrast in one place."""

    def ask(pixels: np.ndarray) -> np.ndarray:
        contrast = pixels[:, rows, columns].astype(float).std(axis=(1, 2, 3)) / 128
        first = 1 / (1 + np.exp(-sign * 4 * (contrast - 0.5)))
        return np.stack([first, np.full(len(pixels), 0.3)], axis=1)

    return ask


@pytest.mark.parametrize(
    ("rows", "columns", "where"),
    [
        (slice(0, 16), slice(0, 16), "upper left"),
        (slice(24, 40), slice(48, 64), "middle right"),
        (slice(24, 40), slice(24, 40), "middle"),
        (slice(48, 64), slice(24, 40), "lower middle"),
    ],
)
def test_the_map_is_hot_where_the_model_looks(rows: slice, columns: slice, where: str) -> None:
    maps = heat_maps(_stripes(), _looks_at(rows, columns))
    looked_at = np.zeros((CELLS, CELLS), bool)
    looked_at[rows.start // 8 : rows.stop // 8, columns.start // 8 : columns.stop // 8] = True
    assert maps.cells.shape == (2, CELLS, CELLS)
    assert maps.cells[0][looked_at].min() > maps.cells[0][~looked_at].max()
    assert maps.strongest(0) == where
    assert maps.speaks_for(0)
    assert maps.lowest[0] < 0.3


def test_a_part_that_speaks_against_a_genre_is_below_zero() -> None:
    maps = heat_maps(_stripes(), _looks_at(slice(0, 16), slice(0, 16), sign=-1.0))
    assert maps.cells[0, :2, :2].max() < 0
    assert not maps.speaks_for(0)


def test_a_genre_that_rests_on_nothing_has_an_empty_map() -> None:
    maps = heat_maps(_stripes(), _looks_at(slice(0, 16), slice(0, 16)))
    np.testing.assert_allclose(maps.cells[1], 0)
    assert not maps.speaks_for(1)
    assert maps.lowest[1] == pytest.approx(0.3)


@pytest.mark.parametrize("side", [9, 50, 383])
def test_the_windows_cover_sides_that_do_not_divide(side: int) -> None:
    changed = np.zeros((side, side), bool)

    def ask(pixels: np.ndarray) -> np.ndarray:
        changed[(pixels != pixels[0]).any(axis=(0, 3))] = True
        return np.full((len(pixels), 1), 0.5)

    heat_maps(_stripes(side), ask)
    assert changed.mean() > 0.99


def test_probabilities_of_0_and_1_have_finite_maps() -> None:
    maps = heat_maps(_stripes(), lambda pixels: np.eye(len(pixels), 1, dtype=float))
    assert np.isfinite(maps.cells).all()
