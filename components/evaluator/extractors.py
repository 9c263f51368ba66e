"""What TFMA reads from an example: the predictions it holds, and what to slice on.

TFX's Evaluator finds `custom_extractors` through its `module_path`. No model is loaded: each
example brings the models' outputs for it.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from typing import Any

import apache_beam as beam
import numpy as np
import tensorflow_model_analysis as tfma
from tensorflow_model_analysis import constants
from tensorflow_model_analysis.extractors import extractor, slice_key_extractor
from tensorflow_model_analysis.proto import config_pb2

from components.contracts.label_schema import GENRES, IMAGE_HEIGHT, IMAGE_WIDTH
from components.contracts.predictions import CANDIDATE, OUTPUTS, output_feature
from components.evaluator.slices import Slicing, current_slicings, text

GENRE_COUNT = "genre_count"
IMAGE_SIDE = "image_side"
SLICED_FEATURES = (GENRES, GENRE_COUNT, IMAGE_SIDE)

_STAGE = "DeriveSlicedFeatures"
_MANY_GENRES = 3
_SIDES = (150, 300, 600)


def custom_extractors(
    eval_shared_model: Any,
    eval_config: config_pb2.EvalConfig,
    tensor_adapter_config: Any,
) -> list[extractor.Extractor]:
    """Returns TFMA's extractors of precomputed predictions, with this one before the slice keys."""
    del eval_shared_model
    extractors = tfma.default_extractors(
        eval_config=_with_prediction_features(eval_config),
        tensor_adapter_config=tensor_adapter_config,
    )
    names = [each.stage_name for each in extractors]
    place = names.index(slice_key_extractor.SLICE_KEY_EXTRACTOR_STAGE_NAME)
    add = beam.Map(add_sliced_features, slicings=dict(current_slicings()))
    derive = extractor.Extractor(stage_name=_STAGE, ptransform=add)
    return [*extractors[:place], derive, *extractors[place:]]


def add_sliced_features(
    extracts: dict[str, Any], slicings: Mapping[str, Slicing]
) -> dict[str, Any]:
    """Adds the derived features to the extracts of one example; slice columns become slices."""
    features = dict(extracts[constants.FEATURES_KEY])
    genres = np.size(features.get(GENRES, ()))
    features[GENRE_COUNT] = np.array([describe_genre_count(genres)])
    sides = [np.ravel(features[key]) for key in (IMAGE_WIDTH, IMAGE_HEIGHT) if key in features]
    if sides:
        features[IMAGE_SIDE] = np.array([describe_side(int(np.min(sides)))])
    for key, slicing in slicings.items():
        values = features.get(key)
        given = [] if values is None else np.ravel(values).tolist()
        features[key] = np.array(slicing.slices(map(text, given)))
    return {**extracts, constants.FEATURES_KEY: features}


def describe_genre_count(genres: int) -> str:
    """Returns the slice of covers with this many genres."""
    if genres >= _MANY_GENRES:
        return f"{_MANY_GENRES} or more genres"
    return "1 genre" if genres == 1 else f"{genres} genres"


def describe_side(pixels: int) -> str:
    """Returns the slice of covers whose shorter side has this many pixels."""
    if pixels < _SIDES[0]:
        return f"below {_SIDES[0]} px"
    for low, high in itertools.pairwise(_SIDES):
        if pixels < high:
            return f"{low} to {high - 1} px"
    return f"{_SIDES[-1]} px or more"


def _with_prediction_features(eval_config: config_pb2.EvalConfig) -> config_pb2.EvalConfig:
    """Returns a copy that names, for each output of each model, the feature that holds it."""
    changed = config_pb2.EvalConfig()
    changed.CopyFrom(eval_config)
    for model_spec in changed.model_specs:
        model_spec.ClearField("prediction_key")
        for output in OUTPUTS:
            # A single model has no name.
            model_spec.prediction_keys[output] = output_feature(
                model_spec.name or CANDIDATE, output
            )
    return changed
