"""Who may import whom; see docs/architecture.md."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
CONTRACTS, SUPPORT = "components.contracts", "components.support"
CONTAINER = "pipeline.kubeflow.container"
NODES = sorted(
    f"components.{path.parent.name}"
    for path in ROOT.glob("components/*/__init__.py")
    if path.parent.name not in ("contracts", "support")
)
# What a package may import of this project, beside itself.
ALLOWED = {
    SUPPORT: (),
    CONTRACTS: (SUPPORT,),
    CONTAINER: ("components",),
    **dict.fromkeys(NODES, (CONTRACTS, SUPPORT)),
}


def _imports(file: Path) -> Iterator[str]:
    """Yields the modules of this project that a file imports anywhere, by full name."""
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{file}: relative imports hide where a name comes from"
            names = [f"{node.module}.{alias.name}" for alias in node.names]
        else:
            continue
        yield from (name for name in names if name.split(".")[0] in ("components", "pipeline"))


@pytest.mark.parametrize("package", sorted(ALLOWED))
def test_a_package_imports_what_it_may_and_nothing_else(package: str) -> None:
    files = list((ROOT / package.replace(".", "/")).rglob("*.py"))
    assert files
    allowed = (package, *ALLOWED[package])
    wrong = {
        f"{file.relative_to(ROOT)} imports {name}"
        for file in files
        for name in _imports(file)
        if not any(f"{name}.".startswith(f"{each}.") for each in allowed)
    }
    assert not wrong


def test_components_know_nothing_of_the_pipeline() -> None:
    wrong = {
        f"{file.relative_to(ROOT)} imports {name}"
        for file in (ROOT / "components").rglob("*.py")
        for name in _imports(file)
        if name.startswith("pipeline")
    }
    assert not wrong


def test_every_folder_of_components_is_a_package() -> None:
    folders = {path.name for path in (ROOT / "components").iterdir() if any(path.glob("*.py"))}
    assert folders == {"contracts", "support", *(name.partition(".")[2] for name in NODES)}
