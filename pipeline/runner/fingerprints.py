"""Cache keys: TFX caches by parameters and paths, so content enters as parameters."""

from __future__ import annotations

import hashlib
from pathlib import Path

import components

_COMPONENTS = Path(components.__file__).parent
_PACKAGES = sorted(_COMPONENTS.glob("*/__init__.py"))
_CODE_SUFFIXES = (".py", ".html", ".css", ".js")
_SHARED_MODULES = (
    "contracts/label_schema.py",
    "contracts/quarantine.py",
    "contracts/signatures.py",
    "support/errors.py",
)


def fingerprint_components() -> dict[str, str]:
    """Returns the hash of each component folder's code by the folder's name."""
    return {file.parent.name: fingerprint_code(file.parent.name) for file in _PACKAGES}


def fingerprint_code(component: str) -> str:
    """Returns a hash of a component folder's code and templates and of all shared modules."""
    files = [_COMPONENTS / name for name in _SHARED_MODULES]
    files += sorted(
        path for path in (_COMPONENTS / component).rglob("*") if path.suffix in _CODE_SUFFIXES
    )
    digest = hashlib.sha256()
    for file in files:
        digest.update(file.relative_to(_COMPONENTS).as_posix().encode())
        digest.update(hashlib.sha256(file.read_bytes()).digest())
    return digest.hexdigest()
