from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

from components.contracts.label_schema import LabelSchema
from pipeline.cli import main


def _invoke(*arguments: str | Path) -> tuple[int, str]:
    result = CliRunner().invoke(main, [str(argument) for argument in arguments])
    return result.exit_code, result.output


def test_help_imports_neither_tensorflow_nor_tfx() -> None:
    code = (
        "import sys; from click.testing import CliRunner; from pipeline.cli import main; "
        "result = CliRunner().invoke(main, ['--help']); assert result.exit_code == 0; "
        "heavy = {'tensorflow', 'tfx', 'keras', 'apache_beam', 'numpy', 'pydantic'}; "
        "assert not heavy & set(sys.modules), heavy & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)


def test_sample_writes_covers_of_the_schemas_genres(tmp_path: Path, labels: LabelSchema) -> None:
    code, output = _invoke("sample", tmp_path / "covers", "--images", "12")
    assert code == 0
    assert ", ".join(labels.genres) in output
    assert len((tmp_path / "covers" / "labels.csv").read_text().splitlines()) == 13


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (("run", "--config", "nowhere.yaml"), "shipped configurations"),
        (("run", "--set", "trainer.epochs=x"), "trainer.epochs"),
        (("run", "--config", "covers"), "--data"),
        (("run", "--data", "nowhere"), "nothing there"),
        (("run", "--set", "schema=nowhere.pbtxt"), "schema file"),
    ],
)
def test_wrong_use_exits_2_with_a_message(
    tmp_path: Path, arguments: tuple[str, ...], expected: str
) -> None:
    code, output = _invoke(*arguments, *(("--pipeline-root", tmp_path / "root")))
    assert code == 2, output
    assert expected in output
    assert "Traceback" not in output


def test_no_run_and_no_model_yet(tmp_path: Path) -> None:
    assert _invoke("runs", "--pipeline-root", tmp_path)[1].startswith("No runs in")
    code, output = _invoke("report", "--pipeline-root", tmp_path)
    assert code == 2
    assert "Received: no runs without" in output
    code, output = _invoke("predict", "cover.jpg", "--pipeline-root", tmp_path)
    assert code == 1
    assert "Expected a pushed model" in output


def test_compare_takes_two_runs_and_nothing_else(tmp_path: Path) -> None:
    code, output = _invoke("report", "x", "--compare", "a", "b", "--pipeline-root", tmp_path)
    assert code == 2
    assert "--compare cannot be combined with RUN or --open" in output


def test_runs_as_json(tmp_path: Path) -> None:
    assert json.loads(_invoke("runs", "--json", "--pipeline-root", tmp_path)[1]) == []
