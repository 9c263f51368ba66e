"""What kept features tell: out-of-fold predictions, a learning curve, the part of the seed."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from components.contracts.diagnosis import Finding
from components.contracts.label_schema import EVAL_SPLIT, TRAIN_SPLIT
from components.contracts.out_of_fold import OutOfFold, write_out_of_fold
from components.trainer.config import TrainerConfig
from components.trainer.diagnostics.cross_fit import check_learning_curve, cross_fit
from components.trainer.diagnostics.seeds import areas_by_seed, check_seeds, standardized
from components.trainer.head import split_at_features
from components.trainer.identities import identities
from components.trainer.model import AugmentedModel
from components.trainer.training import TrainingData


def examine_covers(
    model: AugmentedModel, data: TrainingData, config: TrainerConfig, model_run: Path
) -> list[Finding]:
    """Predicts each cover without it, writes that down, and finds what more covers would bring.

    Also finds what another seed would change.

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
            identities(data.train), identities(data.evaluation), strict=True
        )
    )
    labels = np.concatenate([data.train.labels, data.evaluation.labels])
    fit = cross_fit(np.concatenate(features), labels, groups)
    if fit is None:
        return []
    found = OutOfFold(tuple(ids), tuple(paths), labels > 0, fit.probabilities)
    write_out_of_fold(model_run, found)
    train, evaluation = standardized(features, fit.components)
    areas = areas_by_seed(train, data.train.labels, evaluation, data.evaluation.labels)
    return [
        *check_learning_curve(data.schema.genres, fit),
        *check_seeds(areas, len(evaluation)),
    ]
