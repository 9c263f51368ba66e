"""Nothing that data, models or libraries say makes a terminal do anything, or fills it."""

from __future__ import annotations

import io
import json
import re
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from components.support.errors import DataError
from pipeline import terminal
from pipeline.cli import main
from pipeline.commands.predict import Prediction, Unreadable
from pipeline.config import load_config
from pipeline.runner.console import RunConsole

EVIL = "\x1b]0;pwned\x07\x1b[2J\u202e"
OBEYED = re.compile("[\x00-\x09\x0b-\x1f\x7f-\x9f\u202a-\u202e]")


def run(*arguments: str) -> Result:
    return CliRunner().invoke(main, list(arguments))


def assert_harmless(output: str) -> None:
    assert not OBEYED.search(output), OBEYED.findall(output)
    assert all(len(line) < 2100 for line in output.splitlines())


def test_the_console_of_a_run_shows_no_control_characters() -> None:
    stream = io.StringIO()
    console = RunConsole(stream)
    console.say(f"{EVIL}\nforged line")
    console.stage_started("Trainer")
    console.stage_warned("Trainer", EVIL + "x" * 50_000)
    console.stage_finished("Trainer", "done", EVIL)
    assert_harmless(stream.getvalue())
    assert len(stream.getvalue().splitlines()) == 3


def test_errors_are_harmless_and_of_bounded_length(capsys: pytest.CaptureFixture[str]) -> None:
    terminal.fail(DataError(f"Expected x. Received: {EVIL}{'4e' * 24_500}.\n  Save it."))
    shown = capsys.readouterr().err
    assert_harmless(shown)
    assert shown.endswith("  Save it.\n")


def test_init_escapes_what_the_manifest_says(tmp_path: Path, write_cover: Callable) -> None:
    data = tmp_path / "data"
    for number in range(6):
        write_cover(data / f"{number}.jpg", number)
    rows = [f"{number}.jpg,{('rock', 'pop')[number % 2]},a{EVIL}" for number in range(6)]
    rows += [f"{EVIL}.jpg,rock,b{EVIL}", f"0.jpg,{EVIL}x,c"]
    lines = [f"image,genres,label{EVIL}", *rows]
    (data / "labels.csv").write_text("\n".join(lines) + "\n")
    result = run("init", str(data), "--output", str(tmp_path / "new.yaml"))
    assert result.exit_code == 0, result.output
    assert_harmless(result.output)
    assert load_config(tmp_path / "new.yaml").genres is None


def test_predict_escapes_names_of_files_and_genres(monkeypatch: pytest.MonkeyPatch) -> None:
    answers = [
        Prediction(f"{EVIL}\nforged.jpg", {EVIL: 0.9, "b": 0.1}, (EVIL,)),
        Prediction("many.jpg", {f"g{n}": n / 10_000 for n in range(10_000)}, ()),
        Unreadable(f"{EVIL}.jpg", "missing_file", EVIL),
    ]
    monkeypatch.setattr(
        "pipeline.commands.batch_prediction.command.predict_covers", lambda *_: iter(answers)
    )
    result = run("predict", "x.jpg", "--model", f"/models/{EVIL}")
    assert_harmless(result.output)
    assert "g9999 1.00" in result.output
    assert "and 9,950 lower ones, see --json" in result.output
    as_json = run("predict", "x.jpg", "--model", f"/models/{EVIL}", "--json").output
    documents = [json.loads(line) for line in as_json.splitlines() if line.startswith("{")]
    assert documents[0]["genres"] == [EVIL]
    assert len(documents[1]["probabilities"]) == 10_000


def test_no_command_prints_past_the_terminal_module() -> None:
    root = Path(terminal.__file__).parent
    prints = re.compile(r"(?<!\.)\bprint\(|click\.s?echo\((?!json\.dumps|result\.to_json)")
    for path in root.rglob("*.py"):
        if path.name != "terminal.py" and "container" not in path.parts:
            assert not prints.search(path.read_text()), path
