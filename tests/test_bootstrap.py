"""requirements/bootstrap.sh on machines that are not this one: which line, and what is missing."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
TOOLS = (
    "awk",
    "cat",
    "date",
    "dirname",
    "env",
    "flock",
    "rm",
    "sed",
    "sh",
    "sha256sum",
    "sort",
    "tail",
)

SetUp = Callable[..., tuple[int, str]]


@pytest.fixture
def set_up(tmp_path: Path) -> SetUp:
    """Returns a function that runs the script with few programs and no Python on PATH."""
    shutil.copytree(ROOT / "requirements", tmp_path / "requirements")
    shutil.copy(ROOT / "setup.py", tmp_path)
    programs = tmp_path / "bin"
    programs.mkdir()
    for tool in TOOLS:
        (programs / tool).symlink_to(shutil.which(tool) or tool)

    def run(
        glibc: str, *, machine: str = "x86_64", line: str = "", zones: str = ""
    ) -> tuple[int, str]:
        for name, answer in (("getconf", f"glibc {glibc}" if glibc else ""), ("uname", machine)):
            (programs / name).unlink(missing_ok=True)
            (programs / name).write_text(f"#!/bin/sh\necho '{answer}'\n[ -n '{answer}' ]\n")
            (programs / name).chmod(0o755)
        environment = {"PATH": str(programs), "HOME": str(tmp_path), "LINE": line}
        if zones:
            environment["TZDIR"] = zones
        done = subprocess.run(
            [tmp_path / "requirements" / "bootstrap.sh"],
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=60,
        )
        return done.returncode, done.stdout

    return run


@pytest.mark.parametrize(
    ("glibc", "line", "said"),
    [
        ("2.36", "", "dependency line tfx-1.16 (glibc 2.36; tfx-1.21 needs 2.39)"),
        ("2.38", "", "dependency line tfx-1.16 (glibc 2.38; tfx-1.21 needs 2.39)"),
        ("2.39", "", "dependency line tfx-1.21 (glibc 2.39; 2.39 or newer runs it)"),
        ("2.41", "", "dependency line tfx-1.21 (glibc 2.41; 2.39 or newer runs it)"),
        ("2.41", "tfx-1.16", "dependency line tfx-1.16 (LINE is set)"),
    ],
)
def test_the_line_is_explained_in_one_line(set_up: SetUp, glibc: str, line: str, said: str) -> None:
    code, output = set_up(glibc, line=line)
    assert output.splitlines()[0] == f"setup: {said}"
    versions = "3.10" if "tfx-1.16" in said.split("(")[0] else "3.13 or 3.12 or 3.11 or 3.10"
    assert f"Expected Python {versions} with venv. Received: none that works." in output
    assert "apt-get install python3" in output
    assert code == 2


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({"glibc": ""}, "Expected Linux with glibc. Received: x86_64, glibc absent."),
        ({"glibc": "2.17"}, "Expected glibc 2.28 or newer for tfx-1.16. Received: glibc 2.17."),
        (
            {"glibc": "2.36", "line": "tfx-1.21"},
            "Expected glibc 2.39 or newer for tfx-1.21. Received: glibc 2.36.",
        ),
        ({"glibc": "2.36", "line": "tfx-2"}, "Expected LINE to be tfx-1.16 or tfx-1.21."),
        (
            {"glibc": "2.36", "zones": "/nowhere"},
            "Received: no /nowhere/America/Los_Angeles.",
        ),
        ({"glibc": "2.36", "machine": "aarch64"}, "Expected an x86_64 machine. Received: aarch64."),
    ],
)
def test_a_machine_that_cannot_run_it_is_told_why(
    set_up: SetUp, arguments: dict[str, str], said: str
) -> None:
    code, output = set_up(**arguments)
    assert said in output
    assert code == 2


@pytest.mark.skipif(sys.version_info[:2] != (3, 10), reason="only 3.10 has to build pyfarmhash")
def test_a_missing_compiler_is_told_before_anything_is_built(set_up: SetUp, tmp_path: Path) -> None:
    interpreter = Path(sys.base_prefix) / "bin" / "python3.10"
    (tmp_path / "bin" / "python3.10").symlink_to(interpreter)
    code, output = set_up("2.36")
    assert "needs a C++ compiler to build pyfarmhash: apt-get install g++" in output
    assert not (tmp_path / ".venv").exists()
    assert code == 2
