"""The commands of docs/labels.md: from a report's list of doubted labels back into ingest."""

from __future__ import annotations

import csv
import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.end_to_end.tiny import CONFIG, PROJECT

pytestmark = pytest.mark.slow

PAGE = PROJECT / "docs" / "labels.md"
_BLOCK = re.compile(r"(?:^ {4}.*\n)+", re.MULTILINE)


def _last_run(folder: Path) -> dict[str, Any]:
    runs: list[dict[str, Any]] = json.loads(_shell("covers runs --json", folder))
    return max((run["result"] for run in runs), key=lambda result: result["run_id"])


def _shell(commands: str, folder: Path) -> str:
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    done = subprocess.run(
        ["bash", "-euc", commands],
        cwd=folder,
        env={**os.environ, "PATH": path, "PYTHONPATH": str(PROJECT)},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def _decide(file: Path) -> None:
    """Drops the first cover of the list, and gives another one a genre."""
    with file.open(newline="", encoding="utf-8") as opened:
        rows = list(csv.DictReader(opened))
    first = rows[0]
    first["decision"] = "drop"
    other = next(row for row in rows if row["id"] != first["id"] and row["given"] == "no")
    other["decision"] = "add"
    with file.open("w", newline="", encoding="utf-8") as opened:
        writer = csv.DictWriter(opened, list(first))
        writer.writeheader()
        writer.writerows(rows)


def test_the_documented_commands_bring_decisions_back(
    tiny_covers: Path, tmp_path: Path, schema_path: Path
) -> None:
    config = CONFIG.format(schema=schema_path) + f"data: {tiny_covers}\n"
    (tmp_path / "covers.yaml").write_text(config)
    make_list, bring_back = _BLOCK.findall(PAGE.read_text(encoding="utf-8"))
    _shell(make_list, tmp_path)
    before = _last_run(tmp_path)
    _decide(tmp_path / "decided.csv")
    _shell(bring_back, tmp_path)
    after = _last_run(tmp_path)
    assert before["ingest"]["rows_ingested"] - after["ingest"]["rows_ingested"] == 1
    assert after["ingest"]["quarantined_by_reason"] == {"dropped": 1}
    assert after["ingest"]["relabelled"] == 1
    assert after["stages"]["LabelSchemaGen"] == "cached"
    assert after["stages"]["CoverExampleGen"] == "done"
    page = Path(after["report"]).read_text(encoding="utf-8")
    assert "<dt>Relabelled</dt><dd>1</dd>" in page
    _shell(bring_back, tmp_path)
    assert _last_run(tmp_path)["stages"]["CoverExampleGen"] == "cached"
    file = tmp_path / "decided.csv"
    file.write_text(file.read_text(encoding="utf-8").replace(",add,", ",keep,"), encoding="utf-8")
    _shell(bring_back, tmp_path)
    changed = _last_run(tmp_path)
    assert changed["stages"]["CoverExampleGen"] == "done"
    assert changed["ingest"]["relabelled"] == 0
