"""The Beam combiner behind the metrics: from examples to estimates for each model."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import apache_beam as beam
import numpy as np
import numpy.typing as npt
from tensorflow_model_analysis.metrics import metric_types, metric_util
from tensorflow_model_analysis.proto import config_pb2, metrics_for_slice_pb2

from components.contracts.scores import Table
from components.contracts.signatures import DECISIONS, PROBABILITIES
from components.evaluator.bootstrap import ModelEstimates, estimate
from components.evaluator.config import Intervals

_Rows = npt.NDArray[np.float32]


class EstimatesCombineFn(beam.CombineFn):
    """Collects the outputs of all models and returns their estimates under its key.

    Exact ranking metrics and intervals need every score: the accumulator is a list of tables
    with a row of label, weight and, per model, probabilities and decisions for each example,
    4 * (n + 1 + 2nm) bytes each, that is 64 MB for a million examples of five genres and one
    model.

    Args:
        key: where the estimates go: model name -> `ModelEstimates`.
        eval_config: names the model outputs, and the baseline.
        model_names: the models to compare.
        genre_count: number of genres, n.
        intervals: see `estimate`.
    """

    def __init__(
        self,
        key: metric_types.MetricKey,
        eval_config: config_pb2.EvalConfig,
        model_names: Sequence[str],
        genre_count: int,
        intervals: Intervals,
    ) -> None:
        self._key = key
        self._configs = [
            with_prediction_key(eval_config, output) for output in (PROBABILITIES, DECISIONS)
        ]
        self._model_names = tuple(model_names)
        self._baseline = baseline_name(eval_config)
        self._genre_count = genre_count
        self._intervals = intervals

    def create_accumulator(self) -> list[_Rows]:
        return []

    def add_input(
        self, accumulator: list[_Rows], element: metric_types.StandardMetricInputs
    ) -> list[_Rows]:
        parts: list[npt.NDArray[np.float32]] = []
        for model_name in self._model_names:
            for config in self._configs:
                label, prediction, weight = self._read(element, model_name, config)
                if not parts:
                    parts = [label, weight]
                parts.append(prediction)
        accumulator.append(np.concatenate(parts, dtype=np.float32)[np.newaxis, :])
        return accumulator

    def merge_accumulators(self, accumulators: Iterable[list[_Rows]]) -> list[_Rows]:
        return [rows for accumulator in accumulators for rows in accumulator]

    def compact(self, accumulator: list[_Rows]) -> list[_Rows]:
        return [self._rows(accumulator)]

    def extract_output(
        self, accumulator: list[_Rows]
    ) -> dict[metric_types.MetricKey, dict[str, ModelEstimates]]:
        n, rows = self._genre_count, self._rows(accumulator)
        # Beam guarantees no order; the resamples of an example must not depend on it.
        rows = rows[np.lexsort(rows.T)]
        label, weights, outputs = rows[:, :n], rows[:, n], rows[:, n + 1 :]
        tables = {
            name: Table.of(
                label,
                outputs[:, 2 * i * n : (2 * i + 1) * n],
                outputs[:, (2 * i + 1) * n : (2 * i + 2) * n],
            )
            for i, name in enumerate(self._model_names)
        }
        return {self._key: estimate(tables, weights, self._intervals, self._baseline)}

    def _rows(self, accumulator: list[_Rows]) -> _Rows:
        width = self._genre_count + 1 + 2 * self._genre_count * len(self._model_names)
        return np.concatenate([np.zeros((0, width), np.float32), *accumulator])

    def _read(
        self,
        element: metric_types.StandardMetricInputs,
        model_name: str,
        eval_config: config_pb2.EvalConfig,
    ) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32], npt.NDArray[np.float32]]:
        """Returns label (n,), prediction (n,) and weight (1,) of one example."""
        label, prediction, weight = next(
            metric_util.to_label_prediction_example_weight(
                element,
                eval_config=eval_config,
                model_name=model_name,
                example_weighted=self._key.example_weighted,
                flatten=False,
                require_single_example_weight=True,
            )
        )
        expected = (self._genre_count,)
        if label.shape != expected or prediction.shape != expected:
            raise ValueError(
                f"Expected label and prediction of shape {expected}, one value per genre. "
                f"Received: {label.shape} and {prediction.shape} (model {model_name!r}). "
                "Examples and models must have the genres of the schema."
            )
        return label, prediction, np.reshape(weight, (1,))


class ConfusionCombineFn(beam.CombineFn):
    """Computes what TFMA's `MultiLabelConfusionMatrixPlot` does, by matrix products.

    TFMA's own visits each pair of genres of each example in Python, in every slice: with a hundred
    genres it took minutes.

    Args:
        key: where the plot goes.
        eval_config: names the model outputs.
        threshold: a genre is decided if its output is greater.
    """

    def __init__(
        self, key: metric_types.PlotKey, eval_config: config_pb2.EvalConfig, threshold: float
    ) -> None:
        self._key = key
        self._config = with_prediction_key(eval_config, DECISIONS)
        self._threshold = threshold

    def create_accumulator(self) -> list[_Rows]:
        return []

    def add_input(
        self, accumulator: list[_Rows], element: metric_types.StandardMetricInputs
    ) -> list[_Rows]:
        label, decided, weight = next(
            metric_util.to_label_prediction_example_weight(
                element,
                eval_config=self._config,
                model_name=self._key.model_name,
                example_weighted=self._key.example_weighted,
                flatten=False,
                require_single_example_weight=True,
            )
        )
        parts = [label, decided, np.reshape(weight, (1,))]
        accumulator.append(np.concatenate(parts, dtype=np.float32)[np.newaxis, :])
        return accumulator

    def merge_accumulators(self, accumulators: Iterable[list[_Rows]]) -> list[_Rows]:
        return [rows for accumulator in accumulators for rows in accumulator]

    def compact(self, accumulator: list[_Rows]) -> list[_Rows]:
        return [np.concatenate(accumulator)] if accumulator else []

    def extract_output(
        self, accumulator: list[_Rows]
    ) -> dict[metric_types.PlotKey, metrics_for_slice_pb2.MultiLabelConfusionMatrixAtThresholds]:
        plot = metrics_for_slice_pb2.MultiLabelConfusionMatrixAtThresholds()
        if not accumulator:
            return {self._key: plot}
        rows = np.concatenate(accumulator).astype(np.float64)
        n = rows.shape[1] // 2
        has, decided = rows[:, :n] > 0.5, rows[:, n : 2 * n] > self._threshold
        weighted = (has * rows[:, -1:]).T
        matrix = plot.matrices.add(threshold=self._threshold)
        counts = zip(
            weighted @ (has & ~decided),
            weighted @ (~has & ~decided),
            weighted @ (~has & decided),
            weighted @ (has & decided),
            strict=True,
        )
        for actual, (fn, tn, fp, tp) in enumerate(counts):
            if not has[:, actual].any():
                continue
            for predicted in range(n):
                matrix.entries.add(
                    actual_class_id=actual,
                    predicted_class_id=predicted,
                    false_negatives=fn[predicted],
                    true_negatives=tn[predicted],
                    false_positives=fp[predicted],
                    true_positives=tp[predicted],
                )
        return {self._key: plot}


def baseline_name(eval_config: config_pb2.EvalConfig) -> str | None:
    """Returns the name of the model that the others are compared with, if there is one."""
    names = [spec.name for spec in eval_config.model_specs if spec.is_baseline]
    return names[0] if names else None


def with_prediction_key(
    eval_config: config_pb2.EvalConfig, prediction_key: str
) -> config_pb2.EvalConfig:
    """Returns a copy that evaluates another output of the models."""
    changed = config_pb2.EvalConfig()
    changed.CopyFrom(eval_config)
    for model_spec in changed.model_specs:
        model_spec.prediction_key = prediction_key
    return changed
