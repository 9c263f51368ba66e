from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

START_UP = (
    "WARNING: All log messages before absl::InitializeLog() is called are written to STDERR",
    "I0000 00:00:1795499965.539984       5 port.cc:153] oneDNN custom operations are on.",
    "W0000 00:00:1795499965.540225       5 cudart_stub.cc:31] Could not find cuda drivers.",
    "To enable the following instructions: AVX2 FMA, in other operations, rebuild TensorFlow.",
)
SCRIPT = f"""
import os, sys, warnings
from components.support.quiet import third_parties_quiet
with third_parties_quiet():
    os.write(2, {chr(10).join(START_UP).encode()!r} + b"\\nE0000 00:00:17.5 5 file.cc:1] lost\\n")
    warnings.warn("third party", FutureWarning)
    print("for the user", file=sys.stderr)
    {{last}}
"""


def _run(last: str, level: str | None = None) -> subprocess.CompletedProcess[str]:
    variables = {key: value for key, value in os.environ.items() if key != "TF_CPP_MIN_LOG_LEVEL"}
    if level is not None:
        variables["TF_CPP_MIN_LOG_LEVEL"] = level
    return subprocess.run(
        [sys.executable, "-c", SCRIPT.format(last=last)],
        capture_output=True,
        text=True,
        timeout=60,
        env=variables,
    )


@pytest.mark.parametrize("level", [None, "2"])
def test_start_up_lines_and_warnings_are_left_out_and_errors_are_not(level: str | None) -> None:
    done = _run(f"assert os.environ['TF_CPP_MIN_LOG_LEVEL'] == '{level or 3}'", level)
    assert done.returncode == 0
    assert sorted(done.stderr.splitlines()) == [
        "E0000 00:00:17.5 5 file.cc:1] lost",
        "for the user",
    ]


def test_the_last_words_of_a_process_that_aborts_are_not_lost() -> None:
    done = _run("os.write(2, b'F0000 00:00:17.5 5 cpu.cc:1] needs AVX'); os.abort()")
    assert done.returncode == -signal.SIGABRT
    assert done.stderr.endswith("F0000 00:00:17.5 5 cpu.cc:1] needs AVX")


def test_whoever_asks_for_the_log_gets_it() -> None:
    done = _run("pass", level="0")
    assert set(START_UP) < set(done.stderr.splitlines())
    assert "FutureWarning: third party" in done.stderr


@pytest.mark.parametrize(
    "arguments",
    [("--help",), ("--version",), ("run", "--help"), ("sample", "{}/covers", "--images", "12")],
    ids=" ".join,
)
def test_commands_print_nothing_on_standard_error(
    tmp_path: Path, arguments: tuple[str, ...]
) -> None:
    command = [sys.executable, "-m", "pipeline", *(part.format(tmp_path) for part in arguments)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0
    assert done.stderr == ""
    assert "arning" not in done.stdout
