from __future__ import annotations

import json

import pytest

from components.contracts.checks import Check, Status
from components.contracts.metrics import is_worse

JAZZ = "no example has it"
SENTENCES = [
    (
        Check("rock", "roc_auc", "at least", bound=0.6, value=0.512, positives=143),
        "rock: roc_auc 0.512, needed at least 0.600 (short by 0.088; 143 test covers)",
    ),
    (
        Check(None, "hamming_loss", "at most", bound=0.2, value=0.25),
        "overall: hamming_loss 0.250, allowed at most 0.200 (over by 0.050)",
    ),
    (
        Check("pop", "roc_auc", "change", 0.05, value=0.640, baseline_value=0.711, allowed=0.05),
        "pop: roc_auc 0.640 is 0.071 below the pushed model's 0.711 (tolerance 0.050)",
    ),
    (
        Check("pop", "roc_auc", "change", 0.02, value=0.640, baseline_value=0.711, allowed=0.04),
        "pop: roc_auc 0.640 is 0.071 below the pushed model's 0.711 "
        "(allowed 0.040, as chance explains that much)",
    ),
    (
        Check(None, "loss", "change", bound=0.0, value=0.52, baseline_value=0.51, allowed=0.0),
        "overall: loss 0.520 is 0.010 above the pushed model's 0.510 (tolerance 0.000)",
    ),
    (
        Check("pop", "f1", "change", 0.1, Status.HELD, 0.7, 0.6, 0.1, 31, 80),
        "pop: f1 0.700 is 0.100 above the pushed model's 0.600 (tolerance 0.100; 31 test covers)",
    ),
    (
        Check("pop", "f1", "change", 0.1, Status.NOT_COMPARED, 0.7),
        "pop: f1 has no pushed model to compare with",
    ),
    (
        Check(None, "example_count", "at least", bound=50.0, value=12.0),
        "overall: example_count 12, needed at least 50 (short by 38)",
    ),
    (
        Check("jazz", "f1", "at least", bound=0.6, reason=JAZZ),
        "jazz: f1 is undefined, as no example has it; needed at least 0.6",
    ),
    (
        Check("jazz", "f1", "change", bound=0.1, reason=JAZZ),
        "jazz: f1 cannot be compared with the pushed model's, as no example has it",
    ),
    (
        Check("jazz", "roc_auc", "at least", 0.6, Status.HELD, 0.7, positives=40),
        "jazz: roc_auc 0.700, needed at least 0.600",
    ),
    (
        Check(
            "jazz",
            "roc_auc",
            "at least",
            0.6,
            Status.NOT_DECIDED,
            0.512,
            positives=1,
            negatives=300,
            min_support=20,
        ),
        "jazz: roc_auc 0.512 is not decisive: 1 test cover with this genre, at least 20 needed",
    ),
]


@pytest.mark.parametrize(("check", "sentence"), SENTENCES)
def test_a_check_is_a_plain_sentence(check: Check, sentence: str) -> None:
    assert check.sentence() == sentence


def test_values_that_differ_little_get_the_digits_to_tell_them_apart() -> None:
    short = Check("rock", "roc_auc", "at least", bound=0.6, value=0.59996)
    assert short.sentence() == "rock: roc_auc 0.59996, needed at least 0.60000 (short by 0.00004)"
    change = Check("pop", "f1", "change", 0.05, value=0.6498, baseline_value=0.7, allowed=0.05)
    assert "is 0.0502 below the pushed model's 0.7000 (tolerance 0.0500)" in change.sentence()


def test_a_dictionary_is_ready_for_json() -> None:
    check = Check("pop", "f1", "change", bound=0.05, value=0.25, baseline_value=0.75)
    fields = json.loads(json.dumps(check.to_dict(), allow_nan=False))
    assert fields["change"] == -0.5
    assert fields["status"] == "failed"
    assert fields["genre"] == "pop"
    assert fields["sentence"] == check.sentence()
    assert Check.from_dict(fields) == check
    assert Check(None, "f1", "at least", bound=0.5, value=None).to_dict()["change"] is None


def test_worse_has_the_direction_of_the_metric() -> None:
    assert is_worse("roc_auc", -0.1)
    assert is_worse("loss", 0.1)
    assert not is_worse("roc_auc", 0.1)
    assert not is_worse("brier_score", -0.1)
