from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from tensorflow_model_analysis import constants

from components.evaluator.extractors import GENRE_COUNT, add_sliced_features


@pytest.mark.parametrize(
    ("features", "expected"),
    [
        ({}, "0 genres"),
        ({"genres": np.array([], object)}, "0 genres"),
        ({"genres": np.array(["pop"], object)}, "1 genre"),
        ({"genres": np.array(["pop", "rock"], object)}, "2 genres"),
    ],
)
def test_covers_are_sliced_by_their_number_of_genres(
    features: dict[str, Any], expected: str
) -> None:
    found = add_sliced_features({constants.FEATURES_KEY: features}, {})[constants.FEATURES_KEY]
    assert found[GENRE_COUNT].tolist() == [expected]
