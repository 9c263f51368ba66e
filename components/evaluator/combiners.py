"""Beam combiners behind the metrics: from examples to metric values by name."""

from __future__ import annotations

from collections.abc import Iterable

import apache_beam as beam
import numpy as np
import numpy.typing as npt
from tensorflow_model_analysis.metrics import metric_types, metric_util
from tensorflow_model_analysis.proto import config_pb2

from components.evaluator.multi_label import (
    DecisionCounts,
    MetricValues,
    decision_metrics,
    probability_metrics,
)
from components.signatures import DECISIONS, PROBABILITIES

_Row = tuple[npt.NDArray[np.float32], npt.NDArray[np.float32], float]
_Table = npt.NDArray[np.float32]


class DecisionsCombineFn(beam.CombineFn):
    """Counts decisions and returns the metrics of `decision_metrics` under its key."""

    def __init__(
        self,
        key: metric_types.MetricKey,
        eval_config: config_pb2.EvalConfig,
        genre_count: int,
    ) -> None:
        self._key = key
        self._eval_config = _with_prediction_key(eval_config, DECISIONS)
        self._genre_count = genre_count

    def create_accumulator(self) -> DecisionCounts:
        return DecisionCounts.zeros(self._genre_count)

    def add_input(
        self, accumulator: DecisionCounts, element: metric_types.StandardMetricInputs
    ) -> DecisionCounts:
        row = _read_row(element, self._key, self._eval_config, self._genre_count)
        return accumulator + DecisionCounts.of_example(*row)

    def merge_accumulators(self, accumulators: Iterable[DecisionCounts]) -> DecisionCounts:
        return sum(accumulators, self.create_accumulator())

    def extract_output(
        self, accumulator: DecisionCounts
    ) -> dict[metric_types.MetricKey, MetricValues]:
        return {self._key: decision_metrics(accumulator)}


class ProbabilitiesCombineFn(beam.CombineFn):
    """Collects probabilities and returns the metrics of `probability_metrics`.

    Exact ranking metrics need every score: the accumulator is a list of tables with a
    row of label, probabilities and weight per example, 4 * (2n + 1) bytes each, that is
    44 MB for a million examples of five genres.
    """

    def __init__(
        self,
        key: metric_types.MetricKey,
        eval_config: config_pb2.EvalConfig,
        genre_count: int,
    ) -> None:
        self._key = key
        self._eval_config = _with_prediction_key(eval_config, PROBABILITIES)
        self._genre_count = genre_count

    def create_accumulator(self) -> list[_Table]:
        return []

    def add_input(
        self, accumulator: list[_Table], element: metric_types.StandardMetricInputs
    ) -> list[_Table]:
        row = _read_row(element, self._key, self._eval_config, self._genre_count)
        accumulator.append(np.hstack(row, dtype=np.float32)[np.newaxis, :])
        return accumulator

    def merge_accumulators(self, accumulators: Iterable[list[_Table]]) -> list[_Table]:
        return [table for accumulator in accumulators for table in accumulator]

    def compact(self, accumulator: list[_Table]) -> list[_Table]:
        return [self._table(accumulator)]

    def extract_output(
        self, accumulator: list[_Table]
    ) -> dict[metric_types.MetricKey, MetricValues]:
        n = self._genre_count
        table = self._table(accumulator)
        return {self._key: probability_metrics(table[:, :n], table[:, n:-1], table[:, -1])}

    def _table(self, accumulator: list[_Table]) -> _Table:
        empty = np.zeros((0, 2 * self._genre_count + 1), np.float32)
        return np.concatenate([empty, *accumulator])


def _with_prediction_key(
    eval_config: config_pb2.EvalConfig, prediction_key: str
) -> config_pb2.EvalConfig:
    changed = config_pb2.EvalConfig()
    changed.CopyFrom(eval_config)
    for model_spec in changed.model_specs:
        model_spec.prediction_key = prediction_key
    return changed


def _read_row(
    element: metric_types.StandardMetricInputs,
    key: metric_types.MetricKey,
    eval_config: config_pb2.EvalConfig,
    genre_count: int,
) -> _Row:
    """Returns label (n,), prediction (n,) and weight of one example."""
    label, prediction, weight = next(
        metric_util.to_label_prediction_example_weight(
            element,
            eval_config=eval_config,
            model_name=key.model_name,
            example_weighted=key.example_weighted,
            flatten=False,
            require_single_example_weight=True,
        )
    )
    if label.shape != (genre_count,) or prediction.shape != (genre_count,):
        raise ValueError(
            f"Expected label and prediction of shape ({genre_count},), one value per genre. "
            f"Received: {label.shape} and {prediction.shape} (model {key.model_name!r}). "
            "Examples and models have to be of the genres of the schema."
        )
    return label, prediction, float(weight.item())
