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

from components.errors import ConfigError
from components.evaluator.config import (
    OVERALL_METRICS,
    PER_GENRE_METRICS,
    EvaluationConfig,
    GateConfig,
    Threshold,
)
from components.evaluator.results import read_evaluation


def sklearn_overall(outputs: Any, rows: Any = slice(None)) -> dict[str, float]:
    y, p, d = outputs.labels[rows], outputs.probabilities[rows], outputs.decisions[rows]
    both = [i for i in range(y.shape[1]) if 0 < y[:, i].sum() < len(y)]
    some = [i for i in range(y.shape[1]) if y[:, i].any()]
    clipped = np.clip(p.astype(np.float64), 1e-7, 1 - 1e-7)
    values = {
        "example_count": len(y),
        "macro_roc_auc": sk.roc_auc_score(y[:, both], p[:, both], average="macro"),
        "micro_roc_auc": sk.roc_auc_score(y, p, average="micro"),
        "macro_average_precision": sk.average_precision_score(y[:, some], p[:, some]),
        "micro_average_precision": sk.average_precision_score(y, p, average="micro"),
        "hamming_loss": sk.hamming_loss(y, d),
        "exact_match_ratio": sk.accuracy_score(y, d),
        "loss": sk.log_loss(y.ravel(), clipped.ravel()),
    }
    for average in ("macro", "micro"):
        scores = sk.precision_recall_fscore_support(y, d, average=average, zero_division=0)
        for name, score in zip(("precision", "recall", "f1"), scores, strict=False):
            values[f"{average}_{name}"] = score
    return values


def sklearn_per_genre(outputs: Any, i: int) -> dict[str, float]:
    y, p, d = outputs.labels[:, i], outputs.probabilities[:, i], outputs.decisions[:, i]
    return {
        "roc_auc": sk.roc_auc_score(y, p),
        "average_precision": sk.average_precision_score(y, p),
        "precision": sk.precision_score(y, d),
        "recall": sk.recall_score(y, d),
        "f1": sk.f1_score(y, d),
    }


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
    assert evaluation.failures == ()
    assert evaluation.baseline is None
    assert evaluation.genres == genres
    assert evaluation.example_count == 200
    assert list(evaluation.per_genre) == list(evaluation.slices) == list(genres)
    assert evaluation.overall.keys() == set(OVERALL_METRICS)
    assert evaluation.overall == pytest.approx(sklearn_overall(outputs), abs=1e-6)
    for i, genre in enumerate(genres):
        assert evaluation.per_genre[genre].keys() == set(PER_GENRE_METRICS)
        assert evaluation.per_genre[genre] == pytest.approx(sklearn_per_genre(outputs, i), abs=1e-6)
        expected = sklearn_overall(outputs, outputs.labels[:, i] > 0)
        assert evaluation.slices[genre] == pytest.approx(expected, abs=1e-6)


def test_a_model_against_the_pushed_one(
    evaluate: Callable[..., Path], make_outputs: Callable[..., Any], genres: tuple[str, ...]
) -> None:
    candidate, pushed = make_outputs(0), make_outputs(1, skill=0.4)
    macro = sklearn_overall(candidate)["macro_roc_auc"]
    drop = sklearn_overall(pushed)["macro_roc_auc"] - macro
    jazz = genres.index("jazz")
    recalls = {g: sklearn_per_genre(candidate, i)["recall"] for i, g in enumerate(genres)}
    gate = GateConfig(
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
    directory = evaluate(EvaluationConfig(gate=gate), candidate, pushed)
    evaluation = read_evaluation(directory)

    assert not evaluation.blessed
    assert blessing(directory) == ["NOT_BLESSED"]
    assert evaluation.baseline is not None
    assert evaluation.overall == pytest.approx(sklearn_overall(candidate), abs=1e-6)
    assert evaluation.baseline.overall == pytest.approx(sklearn_overall(pushed), abs=1e-6)
    jazz_of_pushed = sklearn_per_genre(pushed, jazz)
    assert evaluation.baseline.per_genre["jazz"] == pytest.approx(jazz_of_pushed, abs=1e-6)
    assert list(evaluation.baseline.slices) == list(genres)

    worst, other, *per_genre = evaluation.failures
    assert (worst.genre, worst.metric, worst.kind) == (None, "macro_roc_auc", "change")
    assert worst.value == pytest.approx(macro)
    assert worst.change == pytest.approx(-drop)
    assert worst.bound == pytest.approx(drop - 0.01)
    assert (other.genre, other.metric, other.kind) == (None, "exact_match_ratio", "at most")
    short = [genre for genre in genres if recalls[genre] < recalls["jazz"] + 1e-6]
    assert "jazz" in short
    assert [failure.genre for failure in per_genre] == short
    assert {(failure.metric, failure.kind) for failure in per_genre} == {("recall", "at least")}

    fields = json.loads(json.dumps(evaluation.to_dict(), allow_nan=False))
    assert fields["baseline"]["overall"]["loss"] == evaluation.baseline.overall["loss"]
    assert fields["failures"][0]["sentence"].startswith("overall: macro_roc_auc 0.")


def test_a_model_within_the_tolerance_of_the_pushed_one_is_blessed(
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


def test_genres_without_positives_or_negatives_are_a_refusal_that_names_them(
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
    assert set(evaluation.slices) == set(genres) - {"inf"}
    assert np.isfinite(evaluation.overall["macro_roc_auc"])
    assert [failure.sentence() for failure in evaluation.failures] == [
        "inf: roc_auc is undefined, as no example has this genre; needed at least 0.5",
        "naïve: roc_auc is undefined, as every example has this genre; needed at least 0.5",
    ]
    fields = json.loads(json.dumps(evaluation.to_dict(), allow_nan=False))
    assert fields["per_genre"]["inf"]["roc_auc"] is None
    assert fields["per_genre"]["inf"]["recall"] == 0.0


def test_a_model_that_returns_no_numbers_is_refused(
    evaluate: Callable[..., Path], make_outputs: Callable[..., Any]
) -> None:
    outputs = make_outputs()
    outputs.probabilities[7, 3] = np.nan
    gate = GateConfig(per_genre={})
    evaluation = read_evaluation(evaluate(EvaluationConfig(gate=gate), outputs))
    assert not evaluation.blessed
    assert [failure.sentence() for failure in evaluation.failures] == [
        "overall: macro_roc_auc is undefined, as not all probabilities of the model are "
        "numbers; needed at least 0.55"
    ]


def test_no_examples_are_a_refusal(
    evaluate: Callable[..., Path], make_outputs: Callable[..., Any]
) -> None:
    directory = evaluate(EvaluationConfig(), make_outputs(examples=0))
    evaluation = read_evaluation(directory)
    assert not evaluation.blessed
    assert evaluation.example_count == 0
    [failure] = evaluation.failures
    assert failure.sentence() == "overall: example_count 0, needed at least 1 (short by 1)"


def test_a_folder_without_an_evaluation_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"eval_config\.json.*FileNotFoundError"):
        read_evaluation(tmp_path)
    (tmp_path / "eval_config.json").write_text('{"evalConfig": {"metricsSpecs": []}}')
    with pytest.raises(ConfigError, match="metrics without genres"):
        read_evaluation(tmp_path)


def test_reading_imports_neither_tensorflow_nor_tfma() -> None:
    code = (
        "import sys, components.evaluator.results; "
        "heavy = {'tensorflow', 'tensorflow_model_analysis', 'apache_beam', 'numpy'}; "
        "sys.exit(str(heavy & set(sys.modules)) if heavy & set(sys.modules) else 0)"
    )
    root = Path(__file__).parents[3]
    subprocess.run([sys.executable, "-c", code], check=True, cwd=root)
