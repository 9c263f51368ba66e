"""The metrics: one row each, from which gate, record, report, comparison and console follow.

To add one, write its function here and give it a row in `_OF_EACH_GENRE` or `_OF_ALL_GENRES`. Each
equals the scikit-learn function named in its docstring, if there is one. Where that leaves a value
undefined:

- precision, recall and F1 with an empty denominator are 0.0 (`zero_division=0`);
- ROC AUC of a genre without positives or without negatives, and average precision of a genre
  without positives, are NaN; macro averages are over the other genres, NaN if there are none;
- all metrics of probabilities are NaN if a single probability is, because a model that does not
  return numbers has no ranking.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator, Mapping
from typing import Literal, NamedTuple

import numpy as np

from components.contracts.scores import FloatArray, Scores, ratio

Better = Literal["higher", "lower"]
Scope = Literal["genre", "overall"]
Function = Callable[[Scores], FloatArray]

CI_LOW = "_ci_low"
CI_HIGH = "_ci_high"
CHANGE = "_change"
"""What is added to a metric's name for the ends of its interval, and for its change."""

EXAMPLE_COUNT = "example_count"
LOSS = "loss"

_CLIP = 1e-7
_MACRO, _MICRO = "macro", "micro"


@dataclasses.dataclass(frozen=True)
class Metric:
    """One metric as it is named, measured and shown.

    Attributes:
        name: its name in configurations, records and files.
        words: its name in a sentence.
        scope: of each genre against the rest, or of all genres together.
        better: the direction in which a model improves.
        function: scores to values, of shape (R, n) for scope "genre", else (R,); None if TFMA's
            own metric computes it.
        of_probabilities: whether it is undefined where a probability is not a number.
        is_fraction: whether it lies between 0 and 1.
        has_interval: whether resampling can tell how certain its value is.
        digits: decimal places to show.
    """

    name: str
    words: str
    scope: Scope
    better: Better
    function: Function | None
    of_probabilities: bool = False
    is_fraction: bool = True
    has_interval: bool = True
    digits: int = 3

    @property
    def title(self) -> str:
        """Its name in a report."""
        return self.words[:1].upper() + self.words[1:]

    def text(self, value: float | None) -> str:
        """Returns a value as it is shown."""
        return "undefined" if value is None else f"{value:,.{self.digits}f}"


class MetricValues(NamedTuple):
    """Metrics by name for R sets of weights: shapes (R,) overall and (R, n) per genre."""

    overall: dict[str, FloatArray]
    per_genre: dict[str, FloatArray]


def compute_metrics(scores: Scores) -> MetricValues:
    """Returns all metrics of a model, for each of the sets of example weights."""
    defined = not np.isnan(scores.table.probabilities).any()
    sets, genres = len(scores.weights), scores.table.true.shape[1]
    values = MetricValues({}, {})
    for metric in METRICS.values():
        if metric.function is None:
            continue
        by_name = values.per_genre if metric.scope == "genre" else values.overall
        if metric.of_probabilities and not defined:
            by_name[metric.name] = np.full(
                (sets, genres) if metric.scope == "genre" else sets, np.nan
            )
        else:
            by_name[metric.name] = metric.function(scores)
    return values


def is_worse(metric: str, change: float) -> bool:
    """Tells whether a change of a metric is for the worse."""
    return change > 0.0 if METRICS[metric].better == "lower" else change < 0.0


def metric_text(name: str, values: Mapping[str, float | None]) -> str:
    """Returns a metric's value among others as it is shown; "undefined" if it is None or absent."""
    return METRICS[name].text(values.get(name))


def roc_auc(scores: Scores) -> FloatArray:
    """`roc_auc_score`: exact, by the trapezoidal rule over every distinct probability."""
    columns = []
    for tp, fp in scores.rankings:
        area = np.sum(np.diff(fp) * (tp[:, 1:] + tp[:, :-1]), axis=1) / 2.0
        columns.append(ratio(area, tp[:, -1] * fp[:, -1], otherwise=np.nan))
    return np.stack(columns, axis=1)


def average_precision(scores: Scores) -> FloatArray:
    """`average_precision_score`: precisions weighted by the increase in recall."""
    columns = []
    for tp, fp in scores.rankings:
        hits = np.sum(np.diff(tp) * ratio(tp[:, 1:], (tp + fp)[:, 1:]), axis=1)
        columns.append(ratio(hits, tp[:, -1], otherwise=np.nan))
    return np.stack(columns, axis=1)


def precision(scores: Scores) -> FloatArray:
    """`precision_score(zero_division=0)`."""
    return ratio(scores.true_positives, scores.true_positives + scores.false_positives)


def recall(scores: Scores) -> FloatArray:
    """`recall_score(zero_division=0)`."""
    return ratio(scores.true_positives, scores.true_positives + scores.false_negatives)


def f1(scores: Scores) -> FloatArray:
    """`f1_score(zero_division=0)`."""
    twice = 2.0 * scores.true_positives
    return ratio(twice, twice + scores.false_positives + scores.false_negatives)


def brier_score(scores: Scores) -> FloatArray:
    """`brier_score_loss`: the mean squared error of probabilities; NaN without examples."""
    squares = (scores.table.probabilities - scores.table.true) ** 2
    return ratio(scores.weights @ squares, scores.total[:, np.newaxis], otherwise=np.nan)


def calibration_error(scores: Scores) -> FloatArray:
    """The expected calibration error: distance from `calibration_curve`; NaN without examples.

    The mean over examples of the distance between mean probability and share of positives in the
    example's bin (Naeini et al., "Obtaining Well Calibrated Probabilities Using Bayesian Binning",
    AAAI 2015).
    """
    columns = [
        ratio(np.abs(bins.gaps).sum(axis=1), scores.total, otherwise=np.nan)
        for bins in scores.calibration_bins
    ]
    return np.stack(columns, axis=1)


def debiased_calibration_error(scores: Scores) -> FloatArray:
    """The root mean square calibration error, less what chance adds to its square.

    Few examples have gaps between mean probability and share of positives even if every
    probability is right. From each bin's squared gap the variance of its share is subtracted
    (Kumar, Liang and Ma, "Verified Uncertainty Calibration", NeurIPS 2019, section 5), and the
    sum is taken as 0 if it is negative. Weights count examples. A bin with one example says
    nothing and counts as 0; without a bin that has several, the error is NaN.
    """
    columns = []
    for bins in scores.calibration_bins:
        squares = ratio(bins.gaps, bins.totals) ** 2
        shares = ratio(bins.positives, bins.totals)
        several = bins.totals > 1.0
        variances = shares * (1.0 - shares) / np.where(several, bins.totals - 1.0, 1.0)
        left = np.where(several, bins.totals * (squares - variances), 0.0).sum(axis=1)
        known = np.where(several.any(axis=1), scores.total, 0.0)
        columns.append(np.sqrt(np.maximum(ratio(left, known, otherwise=np.nan), 0.0)))
    return np.stack(columns, axis=1)


def hamming_loss(scores: Scores) -> FloatArray:
    """`hamming_loss`: the share of genres wrongly decided on or missed."""
    wrong = (scores.false_positives + scores.false_negatives).sum(axis=1)
    return ratio(wrong, scores.total * scores.table.true.shape[1])


def jaccard(scores: Scores) -> FloatArray:
    """`jaccard_score(average="samples", zero_division=0)`."""
    true, decided = scores.table.true, scores.table.decided
    overlap = ratio((true & decided).sum(axis=1), (true | decided).sum(axis=1))
    return ratio(scores.weights @ overlap, scores.total)


def exact_match_ratio(scores: Scores) -> FloatArray:
    """`accuracy_score` of multi-label data: the share of covers with every genre right."""
    right = (scores.table.true == scores.table.decided).all(axis=1)
    return ratio(scores.weights @ right, scores.total)


def binary_crossentropy(scores: Scores) -> FloatArray:
    """`log_loss`, mean over genres, probabilities clipped to [1e-7, 1 - 1e-7] as Keras does."""
    flat = scores.flat
    clipped = np.clip(flat.table.probabilities[:, 0], _CLIP, 1.0 - _CLIP)
    losses = -np.log(np.where(flat.table.true[:, 0], clipped, 1.0 - clipped))
    return ratio(flat.weights @ losses, flat.total)


class _Definition(NamedTuple):
    """A metric of each genre, with its averages over all of them."""

    metric: Metric
    averages: tuple[str, ...]


def _of_genre(
    name: str,
    words: str,
    function: Function,
    *averages: str,
    better: Better = "higher",
    of_probabilities: bool = False,
    has_interval: bool = True,
) -> _Definition:
    metric = Metric(
        name,
        words,
        "genre",
        better,
        function,
        of_probabilities=of_probabilities,
        has_interval=has_interval,
    )
    return _Definition(metric, averages)


def _of_all(
    name: str, words: str, function: Function, better: Better = "higher", *, is_loss: bool = False
) -> Metric:
    return Metric(
        name,
        words,
        "overall",
        better,
        function,
        of_probabilities=is_loss,
        is_fraction=not is_loss,
    )


_OF_EACH_GENRE = (
    _of_genre("roc_auc", "ROC AUC", roc_auc, _MACRO, _MICRO, of_probabilities=True),
    _of_genre(
        "average_precision",
        "average precision",
        average_precision,
        _MACRO,
        _MICRO,
        of_probabilities=True,
    ),
    _of_genre("precision", "precision", precision, _MACRO, _MICRO),
    _of_genre("recall", "recall", recall, _MACRO, _MICRO),
    _of_genre("f1", "F1", f1, _MACRO, _MICRO),
    _of_genre(
        "brier_score", "Brier score", brier_score, _MACRO, better="lower", of_probabilities=True
    ),
    # A distance from perfect calibration only grows as examples are resampled, debiased or not: its
    # percentiles lie above it. The change between two models has an interval: both grow alike.
    _of_genre(
        "calibration_error",
        "calibration error",
        calibration_error,
        _MACRO,
        better="lower",
        of_probabilities=True,
        has_interval=False,
    ),
    _of_genre(
        "debiased_calibration_error",
        "debiased calibration error",
        debiased_calibration_error,
        _MACRO,
        better="lower",
        of_probabilities=True,
        has_interval=False,
    ),
)
_OF_ALL_GENRES = (
    _of_all("hamming_loss", "Hamming loss", hamming_loss, "lower"),
    _of_all("jaccard", "Jaccard", jaccard),
    _of_all("exact_match_ratio", "exact match ratio", exact_match_ratio),
    _of_all(LOSS, "binary cross-entropy", binary_crossentropy, "lower", is_loss=True),
)
_COUNTS: tuple[tuple[str, str, Better, Function], ...] = (
    ("true_positives", "rightly decided", "higher", lambda scores: scores.true_positives),
    ("false_positives", "wrongly decided", "lower", lambda scores: scores.false_positives),
    ("false_negatives", "missed", "lower", lambda scores: scores.false_negatives),
    ("true_negatives", "rightly left out", "higher", lambda scores: scores.true_negatives),
)


def _all_metrics() -> Iterator[Metric]:
    yield Metric(
        EXAMPLE_COUNT, "test covers", "overall", "higher", None, is_fraction=False, digits=0
    )
    for metric, averages in _OF_EACH_GENRE:
        yield metric
        yield from (_average(metric, average) for average in averages)
    yield from _OF_ALL_GENRES
    for name, words, better, function in _COUNTS:
        yield Metric(
            name,
            words,
            "genre",
            better,
            function,
            is_fraction=False,
            has_interval=False,
            digits=0,
        )


def _average(metric: Metric, average: str) -> Metric:
    function = metric.function
    assert function is not None

    def macro(scores: Scores) -> FloatArray:
        values = function(scores)
        known = ~np.isnan(values)
        return ratio(np.where(known, values, 0.0).sum(axis=1), known.sum(axis=1), np.nan)

    def micro(scores: Scores) -> FloatArray:
        return function(scores.flat)[:, 0]

    return dataclasses.replace(
        metric,
        name=f"{average}_{metric.name}",
        words=f"{average} {metric.words}",
        scope="overall",
        function=macro if average == _MACRO else micro,
    )


METRICS: Mapping[str, Metric] = {metric.name: metric for metric in _all_metrics()}

PER_GENRE_COUNTS = tuple(name for name, *_ in _COUNTS)
PER_GENRE_METRICS = tuple(metric.name for metric, _ in _OF_EACH_GENRE)
OVERALL_METRICS = tuple(name for name, metric in METRICS.items() if metric.scope == "overall")

TILES = ("macro_roc_auc", "macro_average_precision", "macro_f1", "hamming_loss")
"""The large figures of a report."""
COMPARED = (*TILES, "exact_match_ratio", "jaccard")
"""What two reports are compared by, besides the metrics of each genre."""
COMPARED_PER_GENRE = ("roc_auc", "average_precision", "f1")
HEADLINES = ("macro_roc_auc", "macro_average_precision", "hamming_loss", "exact_match_ratio")
"""What the console prints for a model."""
RUN_COLUMNS = ("macro_roc_auc", "hamming_loss", "exact_match_ratio")
"""The columns of the list of runs."""
GENRE_COLUMNS = ("roc_auc", "average_precision", "precision", "recall", "f1", "brier_score")
"""The columns of a report's table of genres; the console omits the last."""
SLICE_COLUMNS = ("exact_match_ratio", "jaccard", "micro_f1", "hamming_loss")
"""The columns of a report's tables of slices."""
COLUMN_SLICE_COLUMNS = (
    "macro_roc_auc",
    "macro_average_precision",
    "micro_f1",
    "hamming_loss",
    "exact_match_ratio",
)
"""The columns of a report's tables of slices by columns of the data."""
