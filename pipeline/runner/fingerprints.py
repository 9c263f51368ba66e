"""Cache keys: TFX caches by parameters and paths, so content enters as parameters.

What a node does follows from the files of its folder and from every module that they reach by
import. Both are read from the sources, so that nothing has to be imported to know them.
"""

from __future__ import annotations

import ast
import functools
import hashlib
from collections.abc import Iterator
from pathlib import Path

import components

_ROOT = Path(components.__file__).parent.parent
_PACKAGES = ("components", "pipeline")
_NOT_CODE = "__pycache__"


def fingerprint_components(root: Path = _ROOT) -> dict[str, str]:
    """Returns component folder -> hash of the code that it runs.

    Args:
        root: the folder with the packages.
    """
    sources = _Sources(root)
    folders = sorted(file.parent.name for file in (root / "components").glob("*/__init__.py"))
    return {name: _fingerprint(sources, name) for name in folders}


def fingerprint_code(component: str, root: Path = _ROOT) -> str:
    """Returns a hash of the names and contents of `files_of(component)`."""
    return _fingerprint(_Sources(root), component)


def files_of(component: str, root: Path = _ROOT) -> list[str]:
    """Returns the files of a component's folder and of all modules that they import, sorted.

    Imports within functions count, and so do the packages that a module lies in; what only a type
    checker imports does not.

    Returns:
        Paths from `root`.
    """
    return _closure(_Sources(root), component)


def _fingerprint(sources: _Sources, component: str) -> str:
    digest = hashlib.sha256()
    for file in _closure(sources, component):
        digest.update(f"{file}\0{sources.hash_of(file)}\n".encode())
    return digest.hexdigest()


def _closure(sources: _Sources, component: str) -> list[str]:
    found = set(sources.folder(f"components/{component}"))
    unread = list(found)
    while unread:
        imported = sources.imported_by(unread.pop()) - found
        found |= imported
        unread += imported
    return sorted(found)


class _Sources:
    """The files below a folder, by their paths from it, each read once."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._contents: dict[str, bytes] = {}
        self._imported: dict[str, set[str]] = {}
        self._modules: dict[str, str | None] = {}

    def folder(self, name: str) -> list[str]:
        return [
            path.relative_to(self._root).as_posix()
            for path in (self._root / name).rglob("*")
            if path.is_file() and _NOT_CODE not in path.parts
        ]

    def hash_of(self, file: str) -> str:
        return hashlib.sha256(self._content(file)).hexdigest()

    def imported_by(self, file: str) -> set[str]:
        """Returns the files of the modules that a module imports itself."""
        if not file.endswith(".py"):
            return set()
        if file not in self._imported:
            package = file.split("/")[:-1]
            modules = {
                self._module("/".join(parts[:end]))
                for parts in _modules(_imports(self._content(file)), package)
                for end in range(1, len(parts) + 1)
            }
            self._imported[file] = {module for module in modules if module}
        return self._imported[file]

    def _content(self, file: str) -> bytes:
        if file not in self._contents:
            self._contents[file] = (self._root / file).read_bytes()
        return self._contents[file]

    def _module(self, name: str) -> str | None:
        if name not in self._modules:
            files = (f"{name}/__init__.py", f"{name}.py")
            found = (file for file in files if (self._root / file).is_file())
            self._modules[name] = next(found, None)
        return self._modules[name]


def _modules(imports: tuple[_Import, ...], package: list[str]) -> Iterator[list[str]]:
    """Yields the parts of each name of ours that may be a module, for a module in `package`."""
    for level, module, member in imports:
        parts = package[: len(package) - level + 1] if level else []
        parts = [*parts, *module.split("."), member]
        parts = [part for part in parts if part]
        if parts[0] in _PACKAGES:
            yield parts


_Import = tuple[int, str, str]
"""Leading dots, module, and what is imported from it or an empty text."""


@functools.cache
def _imports(source: bytes) -> tuple[_Import, ...]:
    return tuple(_imports_of(ast.parse(source).body))


def _imports_of(statements: list[ast.stmt]) -> Iterator[_Import]:
    for statement in statements:
        if isinstance(statement, ast.Import):
            for alias in statement.names:
                yield 0, alias.name, ""
        elif isinstance(statement, ast.ImportFrom):
            for alias in statement.names:
                yield statement.level, statement.module or "", alias.name
        elif isinstance(statement, ast.If) and _is_for_type_checkers(statement.test):
            yield from _imports_of(statement.orelse)
        else:
            for block in ("body", "orelse", "finalbody", "handlers", "cases"):
                yield from _imports_of(getattr(statement, block, []))


def _is_for_type_checkers(test: ast.expr) -> bool:
    return isinstance(test, ast.Name) and test.id == "TYPE_CHECKING"
