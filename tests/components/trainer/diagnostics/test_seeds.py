"""Another seed: silent where it changes little, and said by how much where it does."""

from __future__ import annotations

import numpy as np
import pytest

from components.trainer.diagnostics.seeds import SEEDS, areas_by_seed, check_seeds, standardized


def drawn(covers, genres=3, width=64, noise=2.0, seed=0):
    random = np.random.default_rng(seed)
    features = random.normal(size=(covers, width))
    weights = np.random.default_rng(1).normal(size=(width, genres)) / np.sqrt(width)
    return features, (features @ weights + noise * random.normal(size=(covers, genres)) > 1) * 1.0


@pytest.mark.parametrize("genres", [1, 3])
def test_many_covers_make_the_seed_unimportant(genres):
    areas = areas_by_seed(*drawn(4000, genres, noise=0.3), *drawn(1000, genres, noise=0.3, seed=2))
    assert areas.shape == (SEEDS,) and areas.mean() > 0.9
    assert check_seeds(areas, 1000) == []


def test_few_covers_make_it_important():
    areas = areas_by_seed(*drawn(60), *drawn(200, seed=2))
    (finding,) = check_seeds(areas, 200)
    assert finding.code == "unstable_seed"
    assert f"\N{PLUS-MINUS SIGN}{finding.numbers['change']:.3f}" in finding.sentence
    assert finding.numbers["change"] == pytest.approx(np.sqrt(2) * np.std(areas, ddof=1))
    again = areas_by_seed(*drawn(60), *drawn(200, seed=2))
    assert areas.tolist() == again.tolist()


def test_genres_that_nothing_can_rank_are_left_out():
    known, labels = drawn(300)
    asked, truth = drawn(300, seed=2)
    labels[:, 0], truth[:, 1] = 0, 1
    areas = areas_by_seed(known, labels, asked, truth)
    assert np.isfinite(areas).all()
    assert areas_by_seed(known, 0 * labels, asked, truth) is None
    assert areas_by_seed(known[:20], labels[:20], asked, truth) is None
    assert check_seeds(None, 300) == []


def test_components_are_split_as_the_features_are():
    features = [np.zeros((3, 9)), np.zeros((2, 9))]
    components = np.arange(10.0).reshape(5, 2)
    train, evaluation = standardized(features, components)
    assert train.shape == (3, 2) and evaluation.shape == (2, 2)
    assert train.mean(axis=0) == pytest.approx([0, 0]) and train.std(axis=0).max() < 1.001
