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
    "id",
    "mkdir",
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
        glibc: str,
        *,
        machine: str = "x86_64",
        line: str = "",
        zones: str = "",
        system: str = "debian 13",
        apt: bool = True,
        user: int = 0,
        folder: str = "",
        **variables: str,
    ) -> tuple[int, str]:
        answers = {
            "getconf": f"glibc {glibc}" if glibc else "",
            "uname": machine,
            "id": str(user),
            **({"apt-get": "installs"} if apt else {}),
        }
        for name, answer in answers.items():
            (programs / name).unlink(missing_ok=True)
            (programs / name).write_text(f"#!/bin/sh\necho '{answer}'\n[ -n '{answer}' ]\n")
            (programs / name).chmod(0o755)
        name, _, version = system.partition(" ")
        release = tmp_path / "os-release"
        release.write_text(f'ID={name}\nVERSION_ID="{version}"\n')
        environment = {
            "PATH": str(programs),
            "HOME": str(tmp_path),
            "LINE": line,
            "OS_RELEASE": str(release),
            **variables,
        }
        if zones:
            environment["TZDIR"] = zones
        done = subprocess.run(
            [tmp_path / folder / "requirements" / "bootstrap.sh"],
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
    assert f"Expected on this system: a usable Python {versions} with venv" in output.replace(
        "a C++ compiler to build pyfarmhash; ", ""
    )
    assert "apt-get install" in output
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
        ({"glibc": "2.36", "machine": "aarch64"}, "Expected an x86_64 machine. Received: aarch64."),
    ],
)
def test_a_machine_that_cannot_run_it_is_told_why(
    set_up: SetUp, arguments: dict[str, str], said: str
) -> None:
    code, output = set_up(**arguments)
    assert said in output
    assert code == 2


_UPDATE = "apt-get update && apt-get install --yes"
_EVERYTHING = (
    "Expected on this system: the time zone /nowhere/America/Los_Angeles; "
    "a C++ compiler to build pyfarmhash; a usable Python 3.10 with venv. Received: none."
)


@pytest.mark.parametrize(
    ("arguments", "lines"),
    [
        (
            {"glibc": "2.35", "system": "ubuntu 22.04", "zones": "/nowhere"},
            [_EVERYTHING, f"  {_UPDATE} tzdata g++ python3.10-venv python3.10-dev"],
        ),
        (
            {"glibc": "2.36", "system": "debian 12", "zones": "/nowhere"},
            [_EVERYTHING, f"  {_UPDATE} tzdata g++ pipx && pipx run uv python install 3.10"],
        ),
        ({"glibc": "2.39", "system": "ubuntu 24.04"}, [f"  {_UPDATE} python3-venv"]),
        ({"glibc": "2.41", "system": "debian 13"}, [f"  {_UPDATE} python3-venv"]),
        (
            {"glibc": "2.41", "system": "debian 13", "user": 1000},
            ["  sudo apt-get update && sudo apt-get install --yes python3-venv"],
        ),
        (
            {"glibc": "2.41", "system": "debian sid"},
            [f"  {_UPDATE} pipx && pipx run uv python install 3.13"],
        ),
        (
            {"glibc": "2.41", "system": "fedora 42", "apt": False},
            [
                "Install what is missing with this system's package manager; on Debian and Ubuntu "
                "it is",
                "called pipx. A Python also comes from `uv python install 3.13` or",
            ],
        ),
    ],
)
def test_all_that_is_missing_is_said_at_once_with_one_command(
    set_up: SetUp, arguments: dict[str, str], lines: list[str]
) -> None:
    code, output = set_up(**arguments)
    for line in lines:
        assert f"setup: {line}\n" in output
    assert code == 2


def _give_python(tmp_path: Path) -> None:
    (tmp_path / "bin" / "python3.10").symlink_to(Path(sys.base_prefix) / "bin" / "python3.10")


@pytest.mark.skipif(sys.version_info[:2] != (3, 10), reason="only 3.10 has to build pyfarmhash")
def test_a_missing_compiler_is_told_before_anything_is_built(set_up: SetUp, tmp_path: Path) -> None:
    _give_python(tmp_path)
    code, output = set_up("2.36")
    assert "Expected on this system: a C++ compiler to build pyfarmhash. Received" in output
    assert f"  {_UPDATE} g++\n" in output
    assert not (tmp_path / ".venv").exists()
    assert code == 2


@pytest.mark.parametrize("kind", ["no HOME", "a HOME that cannot be written", "a HOME"])
def test_where_no_cache_can_be_written_none_is_asked_for(
    set_up: SetUp, tmp_path: Path, kind: str
) -> None:
    fake_uv = _prepare_update(tmp_path)
    file = tmp_path / "file"  # below it nothing can be made, whoever tries
    file.touch()
    home = {"no HOME": "", "a HOME": str(tmp_path)}.get(kind, str(file))
    code, output = set_up("2.36", HOME=home)
    assert code == 0, output
    assert ("no folder for a cache" in output) == (kind != "a HOME")
    assert fake_uv.read_text() == ("no cache: \n" if kind == "a HOME" else "no cache: 1\n") * 2


@pytest.mark.parametrize("name", ["covers", "pochettes d'été"])
@pytest.mark.parametrize("variables", [{}, {"LANG": "C", "LC_ALL": "POSIX"}], ids=str)
def test_any_folder_and_locale_will_do(
    set_up: SetUp, tmp_path: Path, name: str, variables: dict[str, str]
) -> None:
    folder = tmp_path / name
    folder.mkdir()
    for part in ("requirements", "setup.py"):
        shutil.move(tmp_path / part, folder / part)
    _prepare_update(folder)
    code, output = set_up("2.36", folder=name, **variables)
    assert code == 0, output
    code, output = set_up("2.36", folder=name, **variables)
    assert (code, output) == (0, "")


def _prepare_update(folder: Path) -> Path:
    """Makes an outdated .venv whose uv only notes what it was told about its cache."""
    programs = folder / ".venv" / "bin"
    programs.mkdir(parents=True)
    notes = folder / "notes"
    (programs / "uv").write_text(f'#!/bin/sh\necho "no cache: ${{UV_NO_CACHE:-}}" >>"{notes}"\n')
    (programs / "python").write_text("#!/bin/sh\n")
    for program in ("uv", "python"):
        (programs / program).chmod(0o755)
    (folder / ".venv" / ".covers-setup").write_text(f"tfx-1.16 outdated {folder.resolve()}\n")
    return notes
