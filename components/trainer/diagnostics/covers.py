"""What kept features tell about the covers: out-of-fold predictions, and a learning curve."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import tensorflow as tf

from components.contracts.diagnosis import Finding
from components.contracts.files import COMPRESSED_SUFFIX
from components.contracts.label_schema import (
    EVAL_SPLIT,
    IMAGE_GROUP,
    IMAGE_ID,
    IMAGE_PATH,
    TRAIN_SPLIT,
)
from components.contracts.out_of_fold import OutOfFold, write_out_of_fold
from components.support.compat import input_options
from components.trainer.config import TrainerConfig
from components.trainer.dataset import Split
from components.trainer.diagnostics.cross_fit import check_learning_curve, cross_fit
from components.trainer.head import split_at_features
from components.trainer.model import AugmentedModel
from components.trainer.training import TrainingData

_AT_ONCE = 256


def examine_covers(
    model: AugmentedModel, data: TrainingData, config: TrainerConfig, model_run: Path
) -> list[Finding]:
    """Predicts each cover without it, writes that down, and finds whether more covers would help.

    Only for networks that are trained on features, which are in memory by then.

    Args:
        model: the trained model.
        data: both splits.
        config: what it was trained with.
        model_run: the folder of the training run.
    """
    if not config.trains_on_features:
        return []
    extractor, _ = split_at_features(model.network)
    splits = (TRAIN_SPLIT, EVAL_SPLIT)
    features = [np.asarray(data.features_of(name, extractor, config)) for name in splits]
    ids, groups, paths = (
        [*train, *evaluation]
        for train, evaluation in zip(
            _identities(data.train), _identities(data.evaluation), strict=True
        )
    )
    labels = np.concatenate([data.train.labels, data.evaluation.labels])
    fit = cross_fit(np.concatenate(features), labels, groups)
    if fit is None:
        return []
    found = OutOfFold(tuple(ids), tuple(paths), labels > 0, fit.probabilities)
    write_out_of_fold(model_run, found)
    return check_learning_curve(data.schema.genres, fit)


def _identities(split: Split) -> tuple[list[str], list[str], list[str]]:
    """Returns identity, near-duplicate group and first path of each cover, in the files' order."""
    spec = {
        IMAGE_ID: tf.io.FixedLenFeature((), tf.string, ""),
        IMAGE_GROUP: tf.io.FixedLenFeature((), tf.string, ""),
        IMAGE_PATH: tf.io.RaggedFeature(tf.string),
    }
    ids: list[str] = []
    groups: list[str] = []
    paths: list[str] = []
    for file in split.files:
        zipped = "GZIP" if file.endswith(COMPRESSED_SUFFIX) else ""
        records = tf.data.TFRecordDataset(file, zipped).with_options(input_options())
        for serialized in records.batch(_AT_ONCE):
            parsed = tf.io.parse_example(serialized, spec)
            ids += [_text(each) for each in parsed[IMAGE_ID].numpy()]
            groups += [_text(each) for each in parsed[IMAGE_GROUP].numpy()]
            listed = parsed[IMAGE_PATH].to_list()
            paths += [_text(each[0]) if each else "" for each in listed]
    own = [group or identity for group, identity in zip(groups, ids, strict=True)]
    return ids, own, paths


def _text(value: bytes) -> str:
    return value.decode("utf-8", errors="backslashreplace")
