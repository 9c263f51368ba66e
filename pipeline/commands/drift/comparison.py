"""Compares distributions: TFDV's distances, and whether chance explains them. Pure functions.

Both sides of a number are put into the same bins, so that what TFDV's comparator measures can be
measured of random re-divisions of the covers as well.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from components.contracts.drift import distances, find_drift
from pipeline.commands.drift.chance import are_beyond_chance, p_value

if TYPE_CHECKING:
    from tensorflow_metadata.proto.v0 import schema_pb2, statistics_pb2

Values = npt.NDArray[Any]
Counts = npt.NDArray[np.int64]

DEFAULT_THRESHOLD = 0.1
_BINS = 10


@dataclasses.dataclass(frozen=True)
class Compared:
    """A feature of covers before and now.

    Attributes:
        name: the feature.
        before: its values for covers of the model's run, shape (n,): numbers or texts.
        now: its values for the covers in question, shape (m,).
    """

    name: str
    before: Values
    now: Values

    @property
    def is_categorical(self) -> bool:
        """Whether the values are texts."""
        return self.before.dtype.kind in "US"


@dataclasses.dataclass(frozen=True)
class Shift:
    """How far a feature is from what it was.

    Attributes:
        name: the feature.
        category: the value whose share changed most; empty for numbers.
        before: the mean, or the share of that category.
        now: the same of the covers in question.
        distance: Jensen-Shannon divergence (base 2) of numbers, largest difference of shares
            (L-infinity) of texts; by TFDV.
        threshold: what it may be.
        p_value: how often chance brings so great a distance, about.
        is_drift: whether it is above the threshold, and more than chance explains.
    """

    name: str
    category: str
    before: float
    now: float
    distance: float
    threshold: float
    p_value: float
    is_drift: bool


def compare(
    features: Sequence[Compared],
    thresholds: Mapping[str, float],
    seed: int = 0,
) -> list[Shift]:
    """Compares features by TFDV's comparators.

    Args:
        features: what to compare, none of them without values.
        thresholds: feature -> its largest distance; `DEFAULT_THRESHOLD` for others.
        seed: of the random re-divisions.
    """
    bounds = {each.name: thresholds.get(each.name, DEFAULT_THRESHOLD) for each in features}
    counted = [_counts(each) for each in features]
    before, now = (_statistics(features, [pair[side] for pair in counted], side) for side in (0, 1))
    # Its anomalies quote names with spaces and the like; its distances do not.
    measured = distances(find_drift(now, before, _comparators(features, bounds)))
    random = np.random.default_rng(seed)
    chances = [
        p_value(*pair, is_categorical=each.is_categorical, random=random)
        for each, pair in zip(features, counted, strict=True)
    ]
    beyond = are_beyond_chance(chances)
    return [
        Shift(
            each.name,
            *_described(each),
            distance=measured[each.name],
            threshold=bounds[each.name],
            p_value=chance,
            is_drift=is_beyond and measured[each.name] > bounds[each.name],
        )
        for each, chance, is_beyond in zip(features, chances, beyond, strict=True)
    ]


def bin_edges(values: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Returns the edges of about ten bins with about as many of some values in each.

    A value that makes up more than a bin has one of its own: most covers may have one width.
    """
    deciles = np.quantile(values, np.linspace(0.0, 1.0, _BINS + 1), method="lower")
    often = deciles[:-1][deciles[:-1] == deciles[1:]]
    return np.unique([*deciles, *often, *np.nextafter(often, np.inf)])


def _counts(feature: Compared) -> tuple[Counts, Counts]:
    """Returns how many values of each side are in each bin, or of each category."""
    pooled = np.concatenate([feature.before, feature.now])
    if feature.is_categorical:
        categories = np.unique(pooled)
        found = [
            (side[:, None] == categories).sum(axis=0) for side in (feature.before, feature.now)
        ]
    else:
        edges = bin_edges(pooled.astype(np.float64))
        found = [np.histogram(side, edges)[0] for side in (feature.before, feature.now)]
    return found[0].astype(np.int64), found[1].astype(np.int64)


def _described(feature: Compared) -> tuple[str, float, float]:
    if not feature.is_categorical:
        return "", float(feature.before.mean()), float(feature.now.mean())
    categories = np.unique(np.concatenate([feature.before, feature.now]))
    shares = [
        (str(each), float((feature.before == each).mean()), float((feature.now == each).mean()))
        for each in categories
    ]
    # Of two that change alike, such as yes and no, the last.
    return max(shares, key=lambda share: (round(abs(share[1] - share[2]), 12), share[0]))


def _statistics(
    features: Sequence[Compared], counts: Sequence[Counts], side: int
) -> statistics_pb2.DatasetFeatureStatisticsList:
    """Returns TFDV's statistics of one side, with the histograms of numbers in the common bins."""
    import pyarrow as pa
    from tensorflow_data_validation.statistics import stats_impl
    from tensorflow_metadata.proto.v0 import statistics_pb2

    merged = statistics_pb2.DatasetFeatureStatisticsList()
    dataset = merged.datasets.add()
    # One feature at a time: their covers differ, those trained on and those tested on.
    for each, found in zip(features, counts, strict=True):
        column = pa.array([[value] for value in (each.before, each.now)[side].tolist()])
        made = stats_impl.generate_statistics_in_memory(
            pa.RecordBatch.from_arrays([column], [each.name])
        ).datasets[0]
        if not each.is_categorical:
            _set_histogram(made.features[0].num_stats, found)
        dataset.num_examples = max(dataset.num_examples, made.num_examples)
        dataset.features.extend(made.features)
    return merged


def _set_histogram(numbers: statistics_pb2.NumericStatistics, counts: Counts) -> None:
    from tensorflow_metadata.proto.v0 import statistics_pb2

    del numbers.histograms[:]
    histogram = numbers.histograms.add(type=statistics_pb2.Histogram.STANDARD)
    for number, count in enumerate(counts.tolist()):
        # By their numbers: some bins are as narrow as one value.
        histogram.buckets.add(low_value=number, high_value=number + 1, sample_count=count)


def _comparators(features: Sequence[Compared], bounds: Mapping[str, float]) -> schema_pb2.Schema:
    from tensorflow_metadata.proto.v0 import schema_pb2

    schema = schema_pb2.Schema()
    for each in features:
        kinds = {"U": schema_pb2.BYTES, "S": schema_pb2.BYTES, "f": schema_pb2.FLOAT}
        kind = kinds.get(each.before.dtype.kind, schema_pb2.INT)
        comparator = schema.feature.add(name=each.name, type=kind).drift_comparator
        measure = (
            comparator.infinity_norm
            if each.is_categorical
            else comparator.jensen_shannon_divergence
        )
        measure.threshold = bounds[each.name]
    return schema
