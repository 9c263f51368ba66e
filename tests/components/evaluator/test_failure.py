from __future__ import annotations

import json

import pytest

from components.evaluator.failure import Failure

SENTENCES = [
    (
        Failure("rock", "roc_auc", "at least", bound=0.6, value=0.512),
        "rock: roc_auc 0.512, needed at least 0.600 (short by 0.088)",
    ),
    (
        Failure(None, "hamming_loss", "at most", bound=0.2, value=0.25),
        "overall: hamming_loss 0.250, allowed at most 0.200 (over by 0.050)",
    ),
    (
        Failure("pop", "roc_auc", "change", bound=0.05, value=0.640, baseline_value=0.711),
        "pop: roc_auc 0.640 is 0.071 below the pushed model's 0.711 (tolerance 0.050)",
    ),
    (
        Failure(None, "loss", "change", bound=0.0, value=0.52, baseline_value=0.51),
        "overall: loss 0.520 is 0.010 above the pushed model's 0.510 (tolerance 0.000)",
    ),
    (
        Failure(None, "example_count", "at least", bound=50.0, value=12.0),
        "overall: example_count 12, needed at least 50 (short by 38)",
    ),
    (
        Failure("jazz", "f1", "at least", bound=0.6, value=None, reason="no example has it"),
        "jazz: f1 is undefined, as no example has it; needed at least 0.6",
    ),
    (
        Failure("jazz", "f1", "change", bound=0.1, value=None, reason="no example has it"),
        "jazz: f1 cannot be compared with the pushed model's, as no example has it",
    ),
]


@pytest.mark.parametrize(("failure", "sentence"), SENTENCES)
def test_a_failure_is_a_plain_sentence(failure: Failure, sentence: str) -> None:
    assert failure.sentence() == sentence


def test_values_that_differ_little_get_the_digits_to_tell_them_apart() -> None:
    short = Failure("rock", "roc_auc", "at least", bound=0.6, value=0.59996)
    assert short.sentence() == "rock: roc_auc 0.59996, needed at least 0.60000 (short by 0.00004)"
    change = Failure("pop", "f1", "change", bound=0.05, value=0.6498, baseline_value=0.7)
    assert "is 0.0502 below the pushed model's 0.7000 (tolerance 0.0500)" in change.sentence()


def test_a_dictionary_is_ready_for_json() -> None:
    failure = Failure("pop", "f1", "change", bound=0.05, value=0.25, baseline_value=0.75)
    fields = json.loads(json.dumps(failure.to_dict(), allow_nan=False))
    assert fields["change"] == -0.5
    assert fields["genre"] == "pop"
    assert fields["sentence"] == failure.sentence()
    assert Failure(None, "f1", "at least", bound=0.5, value=None).to_dict()["change"] is None
