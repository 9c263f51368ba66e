from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from pipeline.cli import main
from tests.web_hooks import SECRET, listening


@pytest.mark.parametrize("status", [200, 404])
def test_the_end_of_a_run_is_told_and_a_deaf_web_hook_changes_nothing(
    tmp_path: Path, status: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    with listening() as hook:
        hook.statuses = [status]
        monkeypatch.setenv("HOOK", hook.url)
        result = CliRunner().invoke(
            main,
            [
                "run", "--json", "--set", "notifications.url_variable=HOOK",
                "--data", str(tmp_path / "nowhere"), "--pipeline-root", str(tmp_path / "root"),
            ],
        )  # fmt: skip
    assert result.exit_code == 2
    ran = json.loads(result.stdout.strip().splitlines()[-1])
    ((_, payload),) = hook.received
    assert payload["outcome"] == "misconfigured"
    assert payload["run_id"] == ran["run_id"]
    assert payload["reasons"] == ran["reasons"]
    told = "Notified the web hook." if status == 200 else "Not notified: "
    assert told in result.stderr
    assert SECRET not in result.output
    files = [file for file in (tmp_path / "root").rglob("*") if file.is_file()]
    assert not [file for file in files if SECRET.encode() in file.read_bytes()]
