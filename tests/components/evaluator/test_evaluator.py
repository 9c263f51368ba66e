"""Evaluations by TFX's own Evaluator, read back by genre name."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sklearn import metrics as sk
from sklearn.calibration import calibration_curve

from components.contracts.checks import Status
from components.contracts.decisions import read_decision
from components.contracts.evaluation_record import Evaluation, read_evaluation
from components.contracts.metrics import OVERALL_METRICS, PER_GENRE_COUNTS, PER_GENRE_METRICS
from components.evaluator.config import EvaluationConfig, GateConfig, Intervals, Threshold
from components.support.errors import DeploymentError


def sklearn_overall(outputs: Any, rows: Any = slice(None)) -> dict[str, float]:
    y, p, d = outputs.labels[rows], outputs.probabilities[rows], outputs.decisions[rows]
    both = [i for i in range(y.shape[1]) if 0 < y[:, i].sum() < len(y)]
    some = [i for i in range(y.shape[1]) if y[:, i].any()]
    columns = list(zip(y.T, p.T.astype(np.float64), strict=True))
    clipped = np.clip(p.astype(np.float64), 1e-7, 1 - 1e-7)
    values = {
        "example_count": len(y),
        "macro_roc_auc": sk.roc_auc_score(y[:, both], p[:, both], average="macro"),
        "micro_roc_auc": sk.roc_auc_score(y, p, average="micro"),
        "macro_average_precision": sk.average_precision_score(y[:, some], p[:, some]),
        "micro_average_precision": sk.average_precision_score(y, p, average="micro"),
        "hamming_loss": sk.hamming_loss(y, d),
        "exact_match_ratio": sk.accuracy_score(y, d),
        "jaccard": sk.jaccard_score(y, d, average="samples", zero_division=0),
        "macro_brier_score": np.mean([sk.brier_score_loss(*column) for column in columns]),
        "macro_calibration_error": np.mean([calibration_error(*column) for column in columns]),
        "macro_debiased_calibration_error": np.mean([debiased_error(*each) for each in columns]),
        "loss": sk.log_loss(y.ravel(), clipped.ravel()),
    }
    for average in ("macro", "micro"):
        scores = sk.precision_recall_fscore_support(y, d, average=average, zero_division=0)
        for name, score in zip(("precision", "recall", "f1"), scores, strict=False):
            values[f"{average}_{name}"] = score
    return values


def calibration_error(y: Any, p: Any) -> float:
    share, mean = calibration_curve(y, p, n_bins=10)
    counts = np.bincount(np.searchsorted(np.linspace(0, 1, 11)[1:-1], p))
    return float(np.sum(np.abs(share - mean) * counts[counts > 0]) / len(y))


def debiased_error(y: Any, p: Any) -> float:
    bins = np.searchsorted(np.linspace(0, 1, 11)[1:-1], p)
    squares = []
    for at in (bins == each for each in np.unique(bins)):
        if at.sum() > 1:
            gap = np.mean(p[at]) - np.mean(y[at])
            squares.append((gap**2 - np.var(y[at], ddof=1) / at.sum()) * at.mean())
    return float(max(0.0, sum(squares)) ** 0.5) if squares else float("nan")


def sklearn_per_genre(outputs: Any, i: int) -> dict[str, float]:
    y, p, d = outputs.labels[:, i], outputs.probabilities[:, i], outputs.decisions[:, i]
    return {
        "roc_auc": sk.roc_auc_score(y, p),
        "average_precision": sk.average_precision_score(y, p),
        "precision": sk.precision_score(y, d),
        "recall": sk.recall_score(y, d),
        "f1": sk.f1_score(y, d),
        "brier_score": sk.brier_score_loss(y, p),
        "calibration_error": calibration_error(y, p.astype(np.float64)),
        "debiased_calibration_error": debiased_error(y, p.astype(np.float64)),
        **dict(
            zip(
                ("true_negatives", "false_positives", "false_negatives", "true_positives"),
                sk.confusion_matrix(y, d, labels=[0, 1]).ravel(),
                strict=True,
            )
        ),
    }


def equal_scikit_learn(values: dict[str, float], expected: dict[str, float]) -> None:
    """Asserts that the metrics named here are scikit-learn's; `test_metrics` proves them all."""
    named = {name: values[name] for name in expected}
    assert named == pytest.approx(expected, abs=1e-6)


def without_intervals(values: dict[str, float]) -> dict[str, float]:
    return {name: value for name, value in values.items() if "_ci_" not in name}


def _same(one: Evaluation, other: Evaluation) -> bool:
    """Compares evaluations; NaN equals NaN."""
    return repr(one) == repr(other)


def blessing(evaluation: Path) -> list[str]:
    return [path.name for path in (evaluation.parent / "blessing").iterdir()]


def test_every_number_of_a_first_model(
    evaluate: Callable[..., Path], make_outputs: Callable[..., Any], genres: tuple[str, ...]
) -> None:
    outputs = make_outputs()
    gate = GateConfig(
        overall={"macro_roc_auc": Threshold(at_least=0.6, tolerance=0.0)},
        per_genre={"roc_auc": Threshold(at_least=0.6, tolerance=0.0)},
    )
    directory = evaluate(EvaluationConfig(gate=gate), outputs)
    evaluation = read_evaluation(directory)

    assert evaluation.blessed
    assert blessing(directory) == ["BLESSED"]
    assert evaluation.failures == evaluation.warnings == ()
    assert evaluation.baseline is None
    statuses = {check.kind: check.status for check in evaluation.checks}
    assert statuses == {"at least": Status.HELD, "change": Status.NOT_COMPARED}
    assert len(evaluation.checks) == 2 * (1 + len(genres))
    assert evaluation.genres == genres
    assert evaluation.confidence == 0.95
    assert evaluation.example_count == 200
    assert list(evaluation.per_genre) == list(evaluation.slices["genres"]) == list(genres)
    plain = without_intervals(evaluation.overall)
    assert plain.keys() == set(OVERALL_METRICS)
    equal_scikit_learn(plain, sklearn_overall(outputs))
    for i, genre in enumerate(genres):
        plain = without_intervals(evaluation.per_genre[genre])
        assert plain.keys() == {*PER_GENRE_METRICS, *PER_GENRE_COUNTS}
        equal_scikit_learn(plain, sklearn_per_genre(outputs, i))
        for name in PER_GENRE_METRICS:
            low, high = (evaluation.per_genre[genre][f"{name}_ci_{end}"] for end in ("low", "high"))
            if name.endswith("calibration_error"):  # resampling only adds to a distance
                assert np.isnan([low, high]).all()
            else:
                assert low <= plain[name] <= high and low < high
        expected = sklearn_overall(outputs, outputs.labels[:, i] > 0)
        plain = without_intervals(evaluation.slices["genres"][genre])
        equal_scikit_learn(plain, expected)
    both = outputs.labels[:, :, np.newaxis] * outputs.decisions[:, np.newaxis, :]
    assert evaluation.confusion == tuple(map(tuple, both.sum(axis=0).astype(int).tolist()))


def test_slices_by_number_of_genres_and_by_size(
    evaluate: Callable[..., Path], make_outputs: Callable[..., Any]
) -> None:
    outputs = make_outputs()
    evaluation = read_evaluation(evaluate(EvaluationConfig(), outputs))
    counts = outputs.labels.sum(axis=1)
    rows = {"1 genre": counts == 1, "2 genres": counts == 2, "3 or more genres": counts >= 3}
    assert list(evaluation.slices["genre_count"]) == list(rows)
    for name, chosen in rows.items():
        plain = without_intervals(evaluation.slices["genre_count"][name])
        equal_scikit_learn(plain, sklearn_overall(outputs, chosen))
    sizes = {name: v["example_count"] for name, v in evaluation.slices["image_side"].items()}
    assert sizes == {"150 to 299 px": 100, "300 to 599 px": 100}


def test_slices_by_columns_of_the_data(
    evaluate: Callable[..., Path], make_outputs: Callable[..., Any]
) -> None:
    outputs, pushed = make_outputs(0), make_outputs(1, skill=0.4)
    row = np.arange(200)
    years = 1950 + row % 60
    countries = [[["Perú"], ["1990"], [], ["Perú", "1990"]][n % 4] for n in range(199)] + [["FR"]]
    slices = {
        "slice/country": countries,
        "slice/year": [[str(year)] for year in years],
        "slice/artist": [[f"Artist {n // 2}"] for n in range(200)],
        "slice/label": [["only one"], *[[]] * 199],
    }
    directory = evaluate(EvaluationConfig(), outputs, pushed, slices=slices)
    evaluation = read_evaluation(directory)

    country = np.append(row[:199] % 4, 9)
    expected = {
        "slice/country": {
            "1990": np.isin(country, [1, 3]),
            "Perú": np.isin(country, [0, 3]),
            "(1 other value)": np.isin(country, [9]),
            "(no value)": np.isin(country, [2]),
        },
        "slice/year": {
            f"{decade} to {decade + 9}": years // 10 * 10 == decade
            for decade in range(1950, 2010, 10)
        },
        "slice/artist": {"(100 other values)": row >= 0},
        "slice/label": {"(1 other value)": row == 0, "(no value)": row > 0},
    }
    baseline = evaluation.baseline
    assert baseline is not None
    for feature, values in expected.items():
        assert list(evaluation.slices[feature]) == list(values)
        for name, chosen in values.items():
            plain = without_intervals(evaluation.slices[feature][name])
            assert plain["example_count"] == chosen.sum()
            if chosen.sum() > 1:
                equal_scikit_learn(plain, sklearn_overall(outputs, chosen))
                before = without_intervals(baseline.slices[feature][name])
                equal_scikit_learn(before, sklearn_overall(pushed, chosen))
    # Slices inform; the gate has the same checks without them.
    assert (
        evaluation.checks == read_evaluation(evaluate(EvaluationConfig(), outputs, pushed)).checks
    )
    fields = json.loads(json.dumps(evaluation.to_dict(), allow_nan=False))
    assert _same(evaluation, Evaluation.from_dict(fields))


def test_a_model_against_the_pushed_one(
    evaluate: Callable[..., Path], make_outputs: Callable[..., Any], genres: tuple[str, ...]
) -> None:
    candidate, pushed = make_outputs(0), make_outputs(1, skill=0.4)
    macro = sklearn_overall(candidate)["macro_roc_auc"]
    drop = sklearn_overall(pushed)["macro_roc_auc"] - macro
    jazz = genres.index("jazz")
    recalls = {g: sklearn_per_genre(candidate, i)["recall"] for i, g in enumerate(genres)}
    gate = GateConfig(
        min_support=1,
        overall={
            "macro_roc_auc": Threshold(at_least=0.5, tolerance=drop - 0.01),
            "hamming_loss": Threshold(tolerance=0.9),
            "exact_match_ratio": Threshold(at_most=0.0),
        },
        per_genre={
            "recall": Threshold(at_least=recalls["jazz"] + 1e-6),
            "roc_auc": Threshold(tolerance=0.9),
        },
    )
    intervals = Intervals(resamples=0)
    directory = evaluate(EvaluationConfig(gate=gate, intervals=intervals), candidate, pushed)
    evaluation = read_evaluation(directory)

    assert not evaluation.blessed
    assert blessing(directory) == ["NOT_BLESSED"]
    assert evaluation.baseline is not None
    assert evaluation.confidence is None
    equal_scikit_learn(evaluation.overall, sklearn_overall(candidate))
    equal_scikit_learn(evaluation.baseline.overall, sklearn_overall(pushed))
    jazz_of_pushed = sklearn_per_genre(pushed, jazz)
    equal_scikit_learn(evaluation.baseline.per_genre["jazz"], jazz_of_pushed)
    assert list(evaluation.baseline.slices["genres"]) == list(genres)

    worst, other, *per_genre = evaluation.failures
    assert (worst.genre, worst.metric, worst.kind) == (None, "macro_roc_auc", "change")
    assert worst.value == pytest.approx(macro)
    assert worst.change == pytest.approx(-drop)
    assert worst.bound == worst.allowed == pytest.approx(drop - 0.01)
    assert (other.genre, other.metric, other.kind) == (None, "exact_match_ratio", "at most")
    short = [genre for genre in genres if recalls[genre] < recalls["jazz"] + 1e-6]
    assert "jazz" in short
    assert [failure.genre for failure in per_genre] == short
    assert {(failure.metric, failure.kind) for failure in per_genre} == {("recall", "at least")}
    assert per_genre[0].positives == int(candidate.labels[:, genres.index(short[0])].sum())

    decision = read_decision(directory)
    assert [refusal.what for refusal in decision.refusals] == [
        failure.sentence() for failure in evaluation.failures
    ]
    first = decision.refusals[0]
    assert (first.where, first.bound) == ("all genres: macro_roc_auc", worst.bound)
    assert (first.value, first.support) == (pytest.approx(macro), None)
    assert first.remedy == "The threshold is evaluation.gate.overall.macro_roc_auc.tolerance."
    assert decision.refusals[2].support == per_genre[0].positives

    fields = json.loads(json.dumps(evaluation.to_dict(), allow_nan=False))
    assert fields["baseline"]["overall"]["loss"] == evaluation.baseline.overall["loss"]
    assert fields["failures"][0]["sentence"].startswith("overall: macro_roc_auc 0.")


def test_noise_does_not_block_but_a_worse_model_is_refused(
    evaluate: Callable[..., Path], make_outputs: Callable[..., Any]
) -> None:
    gate = GateConfig(
        overall={"macro_roc_auc": Threshold(tolerance=0.0)},
        per_genre={"roc_auc": Threshold(tolerance=0.0)},
    )
    config = EvaluationConfig(gate=gate)
    alike = read_evaluation(evaluate(config, make_outputs(0), make_outputs(2)))
    assert alike.blessed
    worse = [check for check in alike.checks if check.change is not None and check.change < 0]
    assert worse, "two draws of one skill differ in some genre"
    assert all(check.allowed is not None and check.allowed > 0.0 for check in worse)

    refused = read_evaluation(evaluate(config, make_outputs(0), make_outputs(2, skill=0.5)))
    assert not refused.blessed
    overall = refused.failures[0]
    assert (overall.genre, overall.metric, overall.kind) == (None, "macro_roc_auc", "change")
    change = refused.overall["macro_roc_auc_change_ci_low"]
    assert change < overall.change < refused.overall["macro_roc_auc_change_ci_high"] < 0.0
    assert "chance explains that much" in overall.sentence()
    assert _same(refused, Evaluation.from_dict(json.loads(json.dumps(refused.to_dict()))))


def test_a_model_is_no_worse_than_itself(
    evaluate: Callable[..., Path], make_outputs: Callable[..., Any]
) -> None:
    same = make_outputs()
    gate = GateConfig(
        overall={"loss": Threshold(tolerance=0.0), "macro_f1": Threshold(tolerance=0.0)},
        per_genre={"average_precision": Threshold(tolerance=0.0)},
    )
    evaluation = read_evaluation(evaluate(EvaluationConfig(gate=gate), same, same))
    assert evaluation.blessed
    assert evaluation.failures == ()
    assert {check.status for check in evaluation.checks} == {Status.HELD}


def test_genres_without_positives_warn_and_those_without_negatives_are_a_refusal(
    evaluate: Callable[..., Path], make_outputs: Callable[..., Any]
) -> None:
    outputs = make_outputs()
    outputs.labels[:, 2] = 0.0
    outputs.labels[:, 4] = 1.0
    # Names that TFMA would read as numbers, and one that is not ASCII.
    genres = ("1990", "2.5", "inf", "r&b", "naïve")
    directory = evaluate(EvaluationConfig(), outputs, genres=genres)
    evaluation = read_evaluation(directory)

    assert not evaluation.blessed
    assert set(evaluation.slices["genres"]) == set(genres) - {"inf"}
    assert np.isfinite(evaluation.overall["macro_roc_auc"])
    assert [failure.sentence() for failure in evaluation.failures] == [
        "naïve: roc_auc is undefined, as every example has this genre; needed at least 0.5",
        "naïve: roc_auc cannot be compared with the pushed model's, as every example has this "
        "genre",
    ]
    assert {warning.sentence() for warning in evaluation.warnings} == {
        "inf: roc_auc is not decisive: 0 test covers with this genre, at least "
        f"{GateConfig().min_support} needed"
    }
    fields = json.loads(json.dumps(evaluation.to_dict(), allow_nan=False))
    assert fields["per_genre"]["inf"]["roc_auc"] is None
    assert fields["per_genre"]["inf"]["recall"] == 0.0


def test_a_genre_with_few_examples_warns_instead_of_deciding(
    evaluate: Callable[..., Path], make_outputs: Callable[..., Any], genres: tuple[str, ...]
) -> None:
    outputs = make_outputs()
    outputs.labels[:, 2] = np.arange(200) < 7
    outputs.probabilities[:, 2] = 1.0 - outputs.labels[:, 2]  # as wrong as can be
    gate = GateConfig(min_support=8, overall={}, per_genre={"roc_auc": Threshold(at_least=0.6)})
    evaluation = read_evaluation(evaluate(EvaluationConfig(gate=gate), outputs))
    assert evaluation.blessed
    assert [warning.sentence() for warning in evaluation.warnings] == [
        "jazz: roc_auc 0.000 is not decisive: 7 test covers with this genre, at least 8 needed"
    ]
    enough = GateConfig(min_support=7, overall={}, per_genre={"roc_auc": Threshold(at_least=0.6)})
    evaluation = read_evaluation(evaluate(EvaluationConfig(gate=enough), outputs))
    assert [failure.genre for failure in evaluation.failures] == ["jazz"]


def test_a_model_that_returns_no_numbers_is_refused(
    evaluate: Callable[..., Path], make_outputs: Callable[..., Any]
) -> None:
    outputs = make_outputs()
    outputs.probabilities[7, 3] = np.nan
    gate = GateConfig(overall={}, per_genre={"roc_auc": Threshold(at_least=0.1)}, min_support=150)
    evaluation = read_evaluation(evaluate(EvaluationConfig(gate=gate), outputs))
    assert not evaluation.blessed
    assert {failure.sentence().partition(": ")[2] for failure in evaluation.failures} == {
        "roc_auc is undefined, as not all probabilities of the model are numbers; "
        "needed at least 0.1"
    }


def test_a_pushed_model_that_returns_no_numbers_blocks_no_successor(
    evaluate: Callable[..., Path], make_outputs: Callable[..., Any]
) -> None:
    broken = make_outputs(1)
    broken.probabilities[7, 3] = np.nan
    evaluation = read_evaluation(evaluate(EvaluationConfig(), make_outputs(), broken))
    assert evaluation.blessed


def test_no_examples_are_a_refusal(
    evaluate: Callable[..., Path], make_outputs: Callable[..., Any]
) -> None:
    directory = evaluate(EvaluationConfig(), make_outputs(examples=0))
    evaluation = read_evaluation(directory)
    assert not evaluation.blessed
    assert evaluation.example_count == 0
    [failure] = evaluation.failures
    assert failure.sentence() == "overall: example_count 0, needed at least 1 (short by 1)"


def test_tfma_reads_the_results_as_its_own(
    evaluate: Callable[..., Path], make_outputs: Callable[..., Any], genres: tuple[str, ...]
) -> None:
    import tensorflow_model_analysis as tfma

    outputs = make_outputs()
    directory = evaluate(EvaluationConfig(), outputs)
    result = tfma.load_eval_result(str(directory))
    metrics = dict(result.slicing_metrics)
    jazz = str(genres.index("jazz"))
    of_jazz = metrics[()][""][f"classId:{jazz}"]
    expected = sklearn_per_genre(outputs, int(jazz))
    assert of_jazz["roc_auc"]["doubleValue"] == pytest.approx(expected["roc_auc"], abs=1e-6)
    plots = dict(result.plots)[()][""][""]
    assert "multiLabelConfusionMatrixAtThresholds" in plots


@pytest.mark.parametrize(
    ("text", "received"),
    [
        ("{", "JSONDecodeError"),
        ("[]", "TypeError"),
        ('{"format_version": 0}', "format version 0"),
        ('{"format_version": 1}', "KeyError"),
    ],
)
def test_a_folder_without_a_record_of_this_version_is_refused(
    tmp_path: Path, text: str, received: str
) -> None:
    for name, read in (("record.json", read_evaluation), ("decision.json", read_decision)):
        with pytest.raises(DeploymentError, match=rf"{name}.*FileNotFoundError"):
            read(tmp_path)
        (tmp_path / name).write_text(text)
        with pytest.raises(DeploymentError, match=received):
            read(tmp_path)


def test_reading_imports_neither_tensorflow_nor_tfma() -> None:
    code = (
        "import sys, components.contracts.evaluation_record, components.contracts.decisions; "
        "heavy = {'tensorflow', 'tensorflow_model_analysis', 'apache_beam', 'google.protobuf'}; "
        "sys.exit(str(heavy & set(sys.modules)) if heavy & set(sys.modules) else 0)"
    )
    root = Path(__file__).parents[3]
    subprocess.run([sys.executable, "-c", code], check=True, cwd=root)
