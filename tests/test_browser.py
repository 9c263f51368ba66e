"""The browser for the tests of the report: installed, asked for, and named in the last line."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
SCRIPT = ROOT / "requirements" / "browser.sh"
_APT = "apt-get update && {sudo}apt-get install --yes chromium chromium-driver"
_WORKS = "#!/bin/sh\nexit 0\n"

Ask = Callable[..., subprocess.CompletedProcess[str]]


def _program(folder: Path, name: str, text: str) -> None:
    (folder / name).write_text(text)
    (folder / name).chmod(0o755)


@pytest.fixture
def programs(tmp_path: Path) -> Path:
    """What is on PATH of a machine without a browser."""
    folder = tmp_path / "bin"
    folder.mkdir()
    for tool in ("sh", "date", "tail", "env", "chmod", "cp"):
        (folder / tool).symlink_to(shutil.which(tool) or tool)
    return folder


@pytest.fixture
def ask(tmp_path: Path, programs: Path) -> Ask:
    """Returns a function that runs the script as some user of some system."""

    def run(
        mode: str, *, release: str = "ID=debian", user: int = 0, required: str = ""
    ) -> subprocess.CompletedProcess[str]:
        (tmp_path / "os-release").write_text(release + "\n")
        _program(programs, "id", f"#!/bin/sh\necho {user}\n")
        return subprocess.run(
            [SCRIPT, mode],
            env={
                "PATH": str(programs),
                "OS_RELEASE": str(tmp_path / "os-release"),
                "COVERS_REQUIRE_SYSTEM_PACKAGES": required,
            },
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=60,
        )

    return run


def _apt_get(programs: Path, tmp_path: Path, *, works: bool) -> None:
    """An apt-get whose install brings both programs, or one that fails."""
    _program(tmp_path, "works", _WORKS)
    bring = "".join(
        f'cp "{tmp_path}/works" "{programs}/{name}"\n' for name in ("chromium", "chromedriver")
    )
    install = bring if works else 'echo "E: Unable to locate package chromium" >&2\nexit 100\n'
    _program(programs, "apt-get", f'#!/bin/sh\n[ "$1" = install ] || exit 0\n{install}')


def test_root_gets_the_browser_installed(ask: Ask, programs: Path, tmp_path: Path) -> None:
    _apt_get(programs, tmp_path, works=True)
    assert ask("check").returncode == 3
    assert "setup: Chromium, for the tests of the report ... " in ask("install").stdout
    assert ask("check").stdout == f"{programs}/chromium\n{programs}/chromedriver\n"
    assert ask("install").stdout == ""


@pytest.mark.parametrize("driver", [None, "#!/bin/sh\nexit 1\n"])
def test_a_browser_without_a_driver_that_runs_is_none(
    ask: Ask, programs: Path, driver: str | None
) -> None:
    _program(programs, "chromium", _WORKS)
    if driver:
        _program(programs, "chromedriver", driver)
    assert ask("check").returncode == 3


@pytest.mark.parametrize(
    ("apt", "system", "said"),
    [
        (True, {"user": 1000}, "not installed: sudo " + _APT.format(sudo="sudo ")),
        (True, {"user": 0}, "not installed: " + _APT.format(sudo="")),
        (
            True,
            {"release": "ID=ubuntu\nID_LIKE=debian"},
            "Ubuntu's chromium is a snap, which does not run in a container: .ci/system ",
        ),
        (True, {"release": 'ID=linuxmint\nID_LIKE="ubuntu debian"'}, "is a snap"),
        (False, {"release": "ID=fedora"}, "with this system's package manager"),
    ],
)
@pytest.mark.parametrize("required", ["", "1"])
def test_without_a_browser_the_reason_and_one_command_are_given(
    ask: Ask,
    programs: Path,
    tmp_path: Path,
    apt: bool,
    system: dict[str, str],
    said: str,
    required: str,
) -> None:
    if apt:
        _apt_get(programs, tmp_path, works=False)
    # Ubuntu's transitional package puts this on PATH.
    _program(programs, "chromium-browser", "#!/bin/sh\necho requires the chromium snap\nexit 1\n")
    checked = ask("check", **system)
    assert said in checked.stdout
    assert checked.stdout.count("\n") == 1
    assert checked.returncode == 3
    installed = ask("install", required=required, **system)
    assert installed.returncode == (3 if required else 0)
    assert (said in installed.stderr) == bool(required)


def test_apt_that_cannot_is_quoted_in_one_line(ask: Ask, programs: Path, tmp_path: Path) -> None:
    _apt_get(programs, tmp_path, works=False)
    assert ask("install").stdout == (
        "setup: Chromium, for the tests of the report ... "
        "apt-get failed: E: Unable to locate package chromium\n"
    )


@pytest.mark.parametrize("required", ["", "1"])
def test_the_last_line_names_the_tests_that_were_not_run(
    tmp_path: Path, programs: Path, required: str
) -> None:
    _apt_get(programs, tmp_path, works=False)
    _program(programs, "id", "#!/bin/sh\necho 1000\n")
    (tmp_path / "os-release").write_text("ID=debian\n")
    (tmp_path / "conftest.py").write_text(
        f"import sys\nsys.path.insert(0, {str(ROOT)!r})\nfrom tests.conftest import *\n"
    )
    (tmp_path / "test_it.py").write_text(
        "def test_one(browser_programs): pass\n"
        "def test_two(browser_programs): pass\n"
        "def test_other(): pass\n"
    )
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "-q", tmp_path],
        cwd=tmp_path,
        env={
            **os.environ,
            "PATH": str(programs),
            "OS_RELEASE": str(tmp_path / "os-release"),
            "COVERS_REQUIRE_SYSTEM_PACKAGES": required,
        },
        capture_output=True,
        text=True,
        timeout=120,
    )
    last = done.stdout.splitlines()[-1]
    if required:
        assert done.returncode == 1
        assert "Expected a browser. Received: none." in done.stdout
    else:
        assert done.returncode == 0
        assert last == (
            "Not run: the 2 tests of the report in a browser. Chromium and its driver are not "
            "installed: sudo " + _APT.format(sudo="sudo ")
        )
