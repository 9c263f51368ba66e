"""What a model was trained and tested on: the run that made it, its covers and its predictions."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy.typing as npt

from components.contracts import label_schema, nodes
from components.contracts.examples_account import check_split
from components.contracts.files import COMPRESSED_SUFFIX, split_folder
from components.contracts.label_schema import SCHEMA_FILE_NAME, TRAIN_SPLIT, read_schema
from components.contracts.predictions import Predictions, read_predictions
from components.contracts.quarantine import RowRejected
from components.contracts.signatures import ModelDescription, read_model_description
from components.support.compat import input_options
from pipeline.commands.drift.covers import columns_of, facts_of
from pipeline.commands.model_runs import find_model_run
from pipeline.commands.stored_runs import find_stored_run

MOST_COVERS = 5_000
"""So many of the covers trained on are looked at; their order in the files is random."""


@dataclasses.dataclass(frozen=True)
class Reference:
    """What a model was trained and tested on.

    Attributes:
        run_id: the run that made the model.
        pipeline: its pipeline.
        facts: each of `FACTS` -> its values for the covers trained on.
        predictions: the model's outputs for the covers tested on.
        thresholds: feature -> how far it may be from that, as far as the schema says.
    """

    run_id: str
    pipeline: str
    facts: dict[str, npt.NDArray[Any]]
    predictions: Predictions
    thresholds: dict[str, float]

    @property
    def trained_on(self) -> int:
        """Of how many covers the facts are."""
        return len(next(iter(self.facts.values())))


def read_reference(pipeline_root: Path, model: Path, run: str | None) -> Reference:
    """Finds the run that made a model, and reads what it trained and tested it on.

    Args:
        pipeline_root: where runs landed.
        model: folder of the model, perhaps a copy.
        run: a run's id, or the beginning of it; None is the newest that made this very model.

    Raises:
        ConfigError: there is no such run, it made another model, or it was pruned.
        CoversError: what it wrote is damaged.
    """
    wanted = {
        nodes.SCHEMA: nodes.LABEL_SCHEMA_GEN,
        nodes.EXAMPLES: nodes.COVER_EXAMPLE_GEN,
        nodes.PREDICTIONS: nodes.BATCH_INFERENCE,
    }
    found = find_model_run(pipeline_root, model, run, wanted)
    return _reference(found.run_id, found.pipeline, found.folders, read_model_description(model))


def read_stored_reference(artifacts: str, model: Path, run: str | None) -> Reference:
    """Finds the run of a cluster that made a model, and reads what it trained and tested it on.

    Args:
        artifacts: where Kubeflow Pipelines keeps the artifacts of its runs.
        model: folder of the model, perhaps a copy.
        run: a run's id, or the beginning of it; None is the newest that made this model.

    Raises:
        ConfigError: there is no report of such a run, or its artifacts were deleted.
        CoversError: what it wrote is damaged, or cannot be read.
    """
    description = read_model_description(model)
    wanted = (nodes.SCHEMA, nodes.EXAMPLES, nodes.PREDICTIONS)
    found = find_stored_run(artifacts, description.recipe, run, wanted)
    with found.local() as folders:
        return _reference(found.run_id, found.pipeline, folders, description)


def _reference(
    run_id: str, pipeline: str, folders: Mapping[str, Path], description: ModelDescription
) -> Reference:
    examples = folders[nodes.EXAMPLES]
    check_split(examples, TRAIN_SPLIT)
    return Reference(
        run_id,
        pipeline,
        columns_of(list(itertools.islice(_facts(examples), MOST_COVERS))),
        read_predictions(folders[nodes.PREDICTIONS], description),
        _thresholds(folders[nodes.SCHEMA] / SCHEMA_FILE_NAME),
    )


def _facts(examples: Path) -> Iterator[dict[str, Any]]:
    import tensorflow as tf

    for file in sorted(split_folder(examples, TRAIN_SPLIT).glob("*")):
        zipped = "GZIP" if file.name.endswith(COMPRESSED_SUFFIX) else ""
        for record in tf.data.TFRecordDataset(str(file), zipped).with_options(input_options()):
            features = tf.train.Example.FromString(record.numpy()).features.feature
            known = {
                key: value.decode() if isinstance(value, bytes) else value
                for key in label_schema.IMAGE_FACTS
                for value in _values(features[key])
            }
            try:
                yield facts_of(_values(features[label_schema.IMAGE_ENCODED])[0], known)
            except RowRejected:
                continue  # Pillow is stricter than the decoder of the model


def _values(feature: Any) -> Any:
    kind = feature.WhichOneof("kind")
    return getattr(feature, kind).value if kind else ()


def _thresholds(schema: Path) -> dict[str, float]:
    """Returns feature -> the bound of its drift comparator."""
    thresholds = {}
    for feature in read_schema(schema).feature:
        comparator = feature.drift_comparator
        for kind in ("infinity_norm", "jensen_shannon_divergence"):
            if comparator.HasField(kind):
                thresholds[feature.name] = float(getattr(comparator, kind).threshold)
    return thresholds
