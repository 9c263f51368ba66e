from __future__ import annotations

import html
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


def test_what_the_machine_refuses_is_one_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise RuntimeError("Error when executing query: database or disk is full query: UPDATE")

    monkeypatch.setattr("pipeline.runner.history.past_runs", full)
    code, output = _invoke("runs", "--pipeline-root", tmp_path)
    assert code == 1
    assert "Expected free space on the disk" in output
    assert "Traceback" not in output


def test_no_run_and_no_model_yet(tmp_path: Path) -> None:
    assert _invoke("runs", "--pipeline-root", tmp_path)[1].startswith("No runs in")
    code, output = _invoke("report", "--pipeline-root", tmp_path)
    assert code == 2
    assert "Received: no runs without" in output
    code, output = _invoke("predict", "cover.jpg", "--pipeline-root", tmp_path)
    assert code == 1
    assert "Expected pushed models below" in output


BAD_DATA = {
    "nothing there": (None, 2, "Received: nothing there"),
    "an archive": (b"PK\x03\x04 and more", 2, "a ZIP archive or an Excel workbook. Unpack it"),
    "no rows": (b"image,genres\n", 3, "Received: no rows"),
    "no columns": (b"a,b\n1,2\n", 3, "name the columns"),
    "no text": (b"image,genres\n\xff\n", 3, "Save it as UTF-8"),
}


@pytest.mark.parametrize("fault", BAD_DATA)
def test_a_run_that_fails_before_its_first_stage_leaves_a_report_and_an_entry(
    tmp_path: Path, fault: str
) -> None:
    content, code, reason = BAD_DATA[fault]
    data, root = tmp_path / "labels.csv", tmp_path / "root"
    if content is not None:
        data.write_bytes(content)
    command = ("run", "--data", data, "--pipeline-root", root)
    ended, output = _invoke(*command)
    assert (ended, "Prepare           failed" in output) == (code, True)
    assert reason in output
    (entry,) = json.loads(_invoke("runs", "--json", "--pipeline-root", root)[1])
    assert entry["outcome"] == ("data_stopped" if code == 3 else "misconfigured")
    assert entry["result"]["exit_code"] == code
    assert reason in entry["result"]["reasons"][0]
    page = Path(_invoke("report", "--pipeline-root", root)[1].strip())
    assert str(page) == entry["result"]["report"]
    assert reason in html.unescape(page.read_text())


def test_compare_takes_two_runs_and_nothing_else(tmp_path: Path) -> None:
    code, output = _invoke("report", "x", "--compare", "a", "b", "--pipeline-root", tmp_path)
    assert code == 2
    assert "--compare cannot be combined with RUN or --open" in output


def test_runs_as_json(tmp_path: Path) -> None:
    assert json.loads(_invoke("runs", "--json", "--pipeline-root", tmp_path)[1]) == []
