"""What make would do, asked from within a `make test` as well as outside of one."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

_ROOT = Path(__file__).parents[2]
_OF_AN_OUTER_MAKE = ("MAKEFLAGS", "MAKELEVEL", "MAKEOVERRIDES", "MFLAGS")
_OF_THE_MAKEFILE = ("ARGS", "BASE", "ENGINE", "IMAGE", "WITH_CUDA")


def dry_run(*words: str) -> list[str]:
    """Returns the commands of `make WORDS`, a line each, none of which is executed."""
    unwanted = {*_OF_AN_OUTER_MAKE, *_OF_THE_MAKEFILE}
    done = subprocess.run(
        ["make", "--no-print-directory", "--dry-run", *words],
        cwd=_ROOT,
        env={name: value for name, value in os.environ.items() if name not in unwanted},
        check=True,
        stdout=subprocess.PIPE,
        text=True,
    )
    return [" ".join(line.split()) for line in done.stdout.replace("\\\n", " ").splitlines()]
