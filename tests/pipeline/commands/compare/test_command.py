"""`covers compare` as people and machines meet it."""

from __future__ import annotations

import copy
import dataclasses
import html
import json
import re
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from markupsafe import escape
from rich.cells import cell_len

from components.contracts.metrics import COMPARED, COMPARED_PER_GENRE
from components.report_gen.page import policy
from components.support.errors import CoversError
from pipeline.cli import main
from pipeline.commands.compare.changes import Change, Changes
from pipeline.commands.compare.comparison import Comparison
from pipeline.commands.compare.page import render_page
from pipeline.commands.compare.selection import select_runs
from tests.pipeline.commands.compare.conftest import GENRES, MakeReport, make_model
from tests.pipeline.recorded_runs import RecordedRuns

_PAGE_LIMIT = 5_000_000


@pytest.fixture
def recorded(tmp_path: Path) -> RecordedRuns:
    return RecordedRuns(tmp_path / "root")


def _covers(*arguments: str | Path) -> tuple[int, str]:
    result = CliRunner().invoke(main, [str(argument) for argument in arguments])
    assert result.exception is None or isinstance(result.exception, SystemExit)
    return result.exit_code, result.output


def _record(recorded: RecordedRuns, make_report: MakeReport, seed: int, **facts: Any) -> str:
    """Records a run with a report; returns its id."""
    run_id = recorded.begin()
    model_folder = recorded.execute(run_id, "Trainer")
    predictions = recorded.execute(run_id, "BatchInference", key="predictions")
    report = make_report(
        recorded.root / "tiny" / "ReportGen" / run_id,
        make_model(seed),
        epochs=seed,
        model_folder=model_folder,
        predictions=predictions,
    )
    evaluation = json.loads(report.read_text())["evaluation"]
    recorded.end(
        run_id, report=str(report.with_suffix(".html")), **{"evaluation": evaluation, **facts}
    )
    return run_id


def test_the_latest_five_with_an_evaluation_are_compared(
    recorded: RecordedRuns, make_report: MakeReport
) -> None:
    ids = [_record(recorded, make_report, seed) for seed in range(1, 8)]
    recorded.end(recorded.begin())
    (recorded.root / "tiny" / "ReportGen" / ids[5] / "report" / "report.html").unlink()
    code, output = _covers("compare", "--json", "--pipeline-root", recorded.root)
    assert code == 0
    found = json.loads(output)
    assert [run["run"] for run in found["runs"]] == [ids[1], ids[2], ids[3], ids[4], ids[6]]
    assert found["page"] == str(recorded.root / "comparison.html")
    assert found["runs"][0]["change"] is None
    for run in found["runs"][1:]:
        assert run["change"]["impossible"] == ""
        change = run["change"]["overall"]["macro_roc_auc"]
        difference = run["overall"]["macro_roc_auc"] - found["runs"][0]["overall"]["macro_roc_auc"]
        assert change["value"] == pytest.approx(difference)
        assert change["low"] <= difference <= change["high"]
    epochs = [run["parameters"]["trainer.epochs"] for run in found["runs"]]
    assert epochs == ["2", "3", "4", "5", "7"]


def test_runs_and_copied_reports_in_the_order_given(
    recorded: RecordedRuns, make_report: MakeReport, tmp_path: Path
) -> None:
    first, second = (_record(recorded, make_report, seed) for seed in (1, 2))
    copied = make_report(tmp_path / "bucket", make_model(3, skill=0.6), epochs=9)
    page = tmp_path / "pages" / "page.html"
    arguments = (second, copied, first, "--pipeline-root", recorded.root, "--output", page)
    code, output = _covers("compare", *arguments)
    assert code == 0
    lines = output.splitlines()
    assert [line.split()[1] for line in lines[1:4]] == [second, str(copied), first]
    assert any(re.match(r"2 .* better", line) for line in lines)
    assert any(re.match(r"trainer.epochs +2 +9 +1$", line) for line in lines)
    assert output.endswith(f"Page: {page}\n")
    assert page.is_file()


def test_tables_are_aligned(make_report: MakeReport, tmp_path: Path) -> None:
    reports = [make_report(tmp_path / str(n), make_model(n), epochs=n) for n in (1, 2)]
    _, output = _covers("compare", *reports, "--pipeline-root", tmp_path)
    lines = output.splitlines()
    start = next(place for place, line in enumerate(lines) if line.startswith("ROC AUC"))
    table = lines[start : start + 1 + len(GENRES)]
    ends = {cell_len(line[: line.rindex(" ")]) for line in table}
    assert len(ends) == 1


@pytest.mark.parametrize(
    "content",
    [
        "",
        "no JSON",
        "[]",
        "{}",
        '{"format_version": 1}',
        "[" * 100_000,
        pytest.param(None, id="not UTF-8"),
    ],
)
def test_a_damaged_report_is_named(
    make_report: MakeReport, tmp_path: Path, content: str | None
) -> None:
    whole, damaged = make_report(tmp_path / "whole"), tmp_path / "report.json"
    damaged.write_bytes(b'{"\xff": 1}' if content is None else content.encode())
    code, output = _covers("compare", whole, damaged, "--pipeline-root", tmp_path)
    assert code == 1
    assert f"Expected a report of format version 1 at {damaged}. Received: " in output
    assert not (tmp_path / "comparison.html").exists()


def test_the_report_of_two_runs_names_a_damaged_one(
    recorded: RecordedRuns, make_report: MakeReport
) -> None:
    ids = [_record(recorded, make_report, seed) for seed in (1, 2)]
    command = ("report", "--compare", *ids, "--pipeline-root", recorded.root)
    code, output = _covers(*command)
    assert code == 0
    assert f"{GENRES[0]}: roc_auc" in output
    damaged = recorded.root / "tiny" / "ReportGen" / ids[1] / "report" / "report.json"
    damaged.write_text("{}")
    code, output = _covers(*command)
    assert code == 1
    assert f"Expected a report of format version 1 at {damaged}. Received: " in output


def _places(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """Lists the places of what a comparison reads of a report."""
    keys = list(value) if isinstance(value, dict) else []
    return [path, *(place for key in keys[:3] for place in _places(value[key], (*path, key)))]


def test_whatever_is_wrong_in_a_report_is_no_traceback(
    make_report: MakeReport, tmp_path: Path
) -> None:
    whole = make_report(tmp_path / "whole")
    content = json.loads(whole.read_text())
    read = ("format_version", "created", "verdict", "evaluation", "data", "training", "provenance")
    places = [place for place in _places({key: content[key] for key in read}) if place]
    damaged = tmp_path / "report.json"
    refusals = []
    for place in places:
        for wrong in (None, [], "x", -1, {"x": {}}, float("nan")):
            altered = copy.deepcopy(content)
            parent = altered
            for key in place[:-1]:
                parent = parent[key]
            parent[place[-1]] = wrong
            damaged.write_text(json.dumps(altered))
            try:
                select_runs([str(whole), str(damaged)], tmp_path)
            except CoversError as error:
                refusals.append(str(error))
    assert len(refusals) > len(places)
    assert all("Expected" in refusal and "Received" in refusal for refusal in refusals)


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        ((), "Expected two runs or more with an evaluation"),
        (("a.json",), "Expected two runs or more. Received: 'a.json' alone."),
        (("2026", "a.json"), "which matches no run"),
        (("a.json", "b.json"), "Expected a report at a.json. Received: No such file or directory"),
        (("x" * 5000 + ".json", "b.json"), "File name too long"),
        (("s3://bucket/report.json", "a.json"), "Copy it here"),
    ],
)
def test_what_cannot_be_compared(tmp_path: Path, arguments: tuple[str, ...], reason: str) -> None:
    code, output = _covers("compare", *arguments, "--pipeline-root", tmp_path / "root")
    assert code == 2
    assert reason in output
    assert "Traceback" not in output


def test_a_run_is_named_once(make_report: MakeReport, tmp_path: Path) -> None:
    report = make_report(tmp_path / "run")
    again = report.parent / ".." / "report" / "report.html"
    code, output = _covers("compare", report, again, "--pipeline-root", tmp_path)
    assert code == 2
    assert "Expected each run once" in output


def test_a_run_without_an_evaluation_is_named(make_report: MakeReport, tmp_path: Path) -> None:
    whole, stopped = make_report(tmp_path / "whole"), make_report(tmp_path / "stopped")
    content = json.loads(stopped.read_text())
    content["evaluation"], content["verdict"]["outcome"] = None, "data_stopped"
    stopped.write_text(json.dumps(content))
    code, output = _covers("compare", whole, stopped, "--pipeline-root", tmp_path)
    assert code == 2
    assert f"Received: {stopped}, which ended before there was one: data stopped" in output


def test_a_run_that_was_pruned_is_named(recorded: RecordedRuns, make_report: MakeReport) -> None:
    ids = [_record(recorded, make_report, seed) for seed in (1, 2)]
    (recorded.root / "tiny" / "ReportGen" / ids[0] / "report" / "report.html").unlink()
    code, output = _covers("compare", *ids, "--pipeline-root", recorded.root)
    assert code == 2
    assert f"Expected a report of run {ids[0]}. Received: none" in output


def test_a_page_that_cannot_be_written(make_report: MakeReport, tmp_path: Path) -> None:
    reports = [make_report(tmp_path / str(n)) for n in range(2)]
    code, output = _covers("compare", *reports, "--output", tmp_path)
    assert code == 2
    assert f"Expected a file for the page at {tmp_path}. Received: Is a directory" in output


def test_the_page_loads_nothing_and_escapes_everything(
    make_report: MakeReport, tmp_path: Path
) -> None:
    reports = [
        make_report(tmp_path / str(n), make_model(n), config={"name": GENRES[1] * n})
        for n in (1, 2)
    ]
    code, _ = _covers("compare", *reports, "--pipeline-root", tmp_path)
    assert code == 0
    page = (tmp_path / "comparison.html").read_text()
    assert GENRES[1] not in page
    assert html.escape(GENRES[1] * 2, quote=False) in page
    assert not re.search(r"<(script|link|img|iframe|object)|url\(|@import|style=", page)
    assert set(re.findall(r"[a-z]+://[^\"'<> ]+", page)) == {"http://www.w3.org/2000/svg"}
    [style] = re.findall("<style>(.*?)</style>", page, re.S)
    assert str(escape(policy(style))) in page
    assert page.count("<svg ") == 5  # two of intervals, three of metrics by epoch
    assert "Macro ROC AUC, train split" not in page  # which these runs did not note


def test_the_page_of_many_runs_stays_small(make_report: MakeReport, tmp_path: Path) -> None:
    genres = tuple(f"contemporary genre {n}" for n in range(100))
    report = make_report(tmp_path / "run", make_model(genres=genres), epochs=200)
    [run, _] = select_runs([str(report), str(make_report(tmp_path / "other"))], tmp_path)
    runs = [dataclasses.replace(run, name=f"20261127-1018{n:02d}-148229") for n in range(20)]
    change = Change(0.0123, -0.0456, 0.0789, "unsure")
    changes = Changes(
        dict.fromkeys(COMPARED, change),
        {genre: dict.fromkeys(COMPARED_PER_GENRE, change) for genre in genres},
    )
    parameters = {f"trainer.option_{n}": ["a value"] * len(runs) for n in range(100)}
    page = render_page(
        Comparison(run.when, runs, genres, parameters, [changes] * (len(runs) - 1), 0.95)
    )
    assert all(page.count(each.name) == 1 for each in runs)
    assert len(page.encode()) < _PAGE_LIMIT
