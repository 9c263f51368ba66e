"""A user without a home, as in a container that was started with a bare user number."""

from __future__ import annotations

import os
import pwd
import subprocess
import sys
from pathlib import Path

import pytest

from components.support.home import ensure_home

_NOBODY = """
import pwd
def unknown(number):
    raise KeyError(number)
pwd.getpwuid = unknown
"""


@pytest.mark.parametrize(
    "program",
    [
        "from pipeline.cli import main\nmain(['runs'], standalone_mode=False)",
        "import tests.conftest",
    ],
    ids=["the command", "the tests"],
)
def test_the_command_and_the_tests_see_to_a_home_and_remove_it(program: str) -> None:
    show = "\nfrom pathlib import Path\nprint(Path.home(), oct(Path.home().stat().st_mode)[-3:])"
    environment = {name: value for name, value in os.environ.items() if name != "HOME"}
    done = subprocess.run(
        [sys.executable, "-c", _NOBODY + program + show],
        env=environment,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    home, mode = done.stdout.splitlines()[-1].split()
    assert mode == "700"
    assert not Path(home).exists()


def test_a_home_that_is_known_stays(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    ensure_home()
    assert Path.home() == tmp_path
    monkeypatch.delenv("HOME")
    entry = pwd.struct_passwd(("user", "x", os.getuid(), os.getgid(), "", str(tmp_path), "/bin/sh"))
    monkeypatch.setattr(pwd, "getpwuid", lambda _: entry)
    ensure_home()
    assert Path.home() == tmp_path
    assert "HOME" not in os.environ
