"""The command as a process: start, newer versions under load, and the end."""

from __future__ import annotations

import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import httpx
import numpy as np
import pytest
from click.testing import CliRunner

from components.contracts.request_log.files import read_log
from pipeline.cli import main
from pipeline.commands.predict import accept_with_facts
from pipeline.serving.answers import Answered


def _lines(process: subprocess.Popen[str], said: list[str]) -> None:
    assert process.stdout is not None
    said.extend(iter(process.stdout.readline, ""))


def _wait(until: Callable[[], object]) -> None:
    deadline = time.monotonic() + 120
    while not until():
        assert time.monotonic() < deadline
        time.sleep(0.05)


@pytest.mark.slow
def test_newer_versions_cost_no_request_and_the_end_is_a_good_one(
    push: Callable[[int], Path], cover: Callable[..., bytes], tmp_path: Path
) -> None:
    destination, log = push(1).parent, tmp_path / "log"
    command = [*(sys.executable, "-m", "pipeline", "serve", "--destination", str(destination))]
    command += ["--port", "0", "--poll-seconds", "0.1"]
    command += ["--log-requests", str(log), "--log-share", "0.5"]
    said: list[str] = []
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    ) as process:
        reader = threading.Thread(target=_lines, args=(process, said))
        reader.start()
        try:
            _wait(lambda: "Ctrl-C stops" in "".join(said) or process.poll() is not None)
            found = re.search(r"http://127\.0\.0\.1:\d+", "".join(said))
            assert found, said
            base = found[0]
            _wait(lambda: httpx.get(base + "/readyz").status_code == 200)
            _change_under_load(base, push, cover(1))
            process.send_signal(signal.SIGTERM)
            assert process.wait(60) == 0
        finally:
            process.kill()
            reader.join()
    assert "Stopped. Requests in flight: 0 answered." in said[-1]
    assert sum("serves version" in line for line in said) == 4
    assert not any("rror" in line or "WARN" in line for line in said)
    kept = list(read_log(log))
    assert {answer.version for answer in kept} == {"1", "2", "3", "4"}
    assert not list(log.glob("*partial*"))


def _change_under_load(base: str, push: Callable[[int], Path], image: bytes) -> None:
    versions: list[int] = []
    failed: list[object] = []
    done = threading.Event()

    def ask() -> None:
        with httpx.Client(base_url=base, timeout=60) as client:
            while not done.is_set():
                try:
                    answer = client.post("/predict", content=image)
                    versions.append(int(answer.json()["version"]))
                except Exception as error:
                    failed.append(error)

    clients = [threading.Thread(target=ask) for _ in range(4)]
    for client in clients:
        client.start()
    for version in (2, 3, 4):
        push(version)
        _wait(lambda version=version: failed or versions[-1:] == [version])  # type: ignore[misc]
    done.set()
    for client in clients:
        client.join()
    assert failed == [] and set(versions) == {1, 2, 3, 4}


def test_two_models_at_once_and_a_busy_port_are_refused(tiny_model: Path) -> None:
    from click.testing import CliRunner

    from pipeline.cli import main

    both = ["serve", "--destination", "a", "--model", "b"]
    assert CliRunner().invoke(main, both).exit_code == 2
    assert CliRunner().invoke(main, ["serve", "--model", "a", "--name", "a/b"]).exit_code == 2
    nowhere = ["serve", "--model", str(tiny_model), "--host", "192.0.2.1"]
    refused = CliRunner().invoke(main, nowhere)
    assert refused.exit_code == 2 and "--host and --port" in refused.output
    none = CliRunner().invoke(main, ["serve", "--pipeline-root", str(tiny_model)])
    assert none.exit_code == 1 and "covers run" in none.output


def test_an_end_while_a_model_is_loaded_leaves_the_request_log_whole(
    push: Callable[[int], Path],
    cover: Callable[..., bytes],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    log = tmp_path / "log"
    seen: list[object] = []

    def stopped_while_loading(*_: object, on_answers: Callable[..., None], **__: object) -> bool:
        image, facts = accept_with_facts(cover(1), "#ffffff")
        probabilities = np.full(3, 0.5, np.float32)
        on_answers([Answered(image, facts, probabilities, np.ones(3, np.int64), 1)])
        return True

    def end(code: int) -> None:
        seen.extend([code, [answer.version for answer in read_log(log)]])
        seen.append(list(log.glob("*partial*")))

    monkeypatch.setattr("pipeline.serving.server.run_server", stopped_while_loading)
    monkeypatch.setattr("os._exit", end)
    options = ["--destination", str(push(1).parent), "--log-requests", str(log), "--log-share", "1"]
    assert CliRunner().invoke(main, ["serve", *options]).exit_code == 0
    assert seen == [0, ["1"], []]
