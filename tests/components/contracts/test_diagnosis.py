from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from components.contracts.diagnosis import DIAGNOSIS_FILE, Finding, read_diagnosis, write_diagnosis
from components.support.errors import DeploymentError

FINDING = Finding(
    code="dead_units",
    severity="warning",
    sentence="63 % of the units of dense never fire.",
    remedy="Lower the learning rate.",
    numbers={"share": 0.63},
    epoch=1,
)


def test_findings_survive_writing_and_reading(tmp_path: Path) -> None:
    findings = [FINDING, Finding("constant", "info", "It stands still.", "Wait.")]
    write_diagnosis(tmp_path, findings)
    assert read_diagnosis(tmp_path) == findings
    assert json.loads((tmp_path / DIAGNOSIS_FILE).read_text())[0] == {
        "code": "dead_units",
        "severity": "warning",
        "sentence": "63 % of the units of dense never fire.",
        "remedy": "Lower the learning rate.",
        "numbers": {"share": 0.63},
        "epoch": 1,
    }


def test_the_file_is_json_even_where_a_number_is_not_finite(tmp_path: Path) -> None:
    write_diagnosis(tmp_path, [Finding("x", "info", "s", "r", {"nan": float("nan"), "one": 1.0})])
    assert read_diagnosis(tmp_path)[0].numbers == {"one": 1.0}


def test_no_file_means_no_findings(tmp_path: Path) -> None:
    assert read_diagnosis(tmp_path) == []


@pytest.mark.parametrize("text", ["{", "[1]", '[{"code": "x", "colour": "red"}]', "7"])
def test_another_file_is_an_error_that_names_it(tmp_path: Path, text: str) -> None:
    (tmp_path / DIAGNOSIS_FILE).write_text(text)
    with pytest.raises(DeploymentError, match=DIAGNOSIS_FILE):
        read_diagnosis(tmp_path)


@pytest.mark.parametrize("kind", [int, float, np.float32, np.float64, np.int64])
def test_numbers_of_every_kind_are_written(tmp_path: Path, kind: Callable[[int], Any]) -> None:
    write_diagnosis(tmp_path, [Finding("x", "info", "s", "r", {"one": kind(1)})])
    assert read_diagnosis(tmp_path)[0].numbers == {"one": 1}
