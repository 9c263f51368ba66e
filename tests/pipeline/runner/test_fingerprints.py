from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from pipeline.runner.fingerprints import files_of, fingerprint_code, fingerprint_components

ROOT = Path(__file__).parents[3]
NODES = sorted(
    path.parent.name
    for path in ROOT.glob("components/*/__init__.py")
    if path.parent.name not in ("contracts", "support")
)
# The libraries are imported once; each node then has a process of its own, forked from this one.
_LOADED = """
import importlib, json, os, pathlib, sys
import keras, tensorflow_data_validation, tensorflow_model_analysis, tfx.components
for node in sys.argv[1:]:
    sys.stdout.flush()
    if child := os.fork():
        assert os.waitpid(child, 0)[1] == 0, node
        continue
    for module in pathlib.Path("components", node).rglob("*.py"):
        name = ".".join(module.with_suffix("").parts).removesuffix(".__init__")
        importlib.import_module(name)
    files = [module.__file__ for name, module in sys.modules.items() if name.split(".")[0] in
             ("components", "pipeline") and getattr(module, "__file__", None)]
    print(json.dumps([node, files]), flush=True)
    os._exit(0)
"""


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """A copy of the code that may be edited."""
    for package in ("components", "pipeline"):
        shutil.copytree(
            ROOT / package, tmp_path / package, ignore=shutil.ignore_patterns("__pycache__")
        )
    return tmp_path


@pytest.mark.slow
def test_whatever_a_node_loads_is_part_of_its_fingerprint() -> None:
    """Asks Python itself, in a process that has imported every module of the node's folder."""
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", _LOADED, *NODES],
        capture_output=True,
        text=True,
        cwd=ROOT,
        timeout=600,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    loaded = dict(json.loads(line) for line in done.stdout.splitlines() if line.startswith("["))
    assert sorted(loaded) == NODES
    for node, files in loaded.items():
        found = {Path(file).relative_to(ROOT).as_posix() for file in files}
        assert f"components/{node}/__init__.py" in found
        assert found <= set(files_of(node)), node


def test_an_edit_changes_the_fingerprints_of_those_that_run_it_and_no_others(tree: Path) -> None:
    users = {name: set(files_of(name, tree)) for name in NODES}
    before = fingerprint_components(tree)
    for file in sorted(set().union(*users.values())):
        path = tree / file
        original = path.read_bytes()
        path.write_bytes(original + b"\n")
        after = fingerprint_components(tree)
        path.write_bytes(original)
        changed = {name for name in NODES if after[name] != before[name]}
        assert changed == {name for name, files in users.items() if file in files}, file


def test_pages_and_shared_modules_count_for_those_who_use_them() -> None:
    assert "components/report_gen/templates/report.html" in files_of("report_gen")
    assert "components/contracts/pushed_models.py" in files_of("pusher")
    assert "components/contracts/pushed_models.py" not in files_of("data_gate")


def test_a_new_a_renamed_and_a_deleted_file_are_noticed(tree: Path) -> None:
    before = fingerprint_code("pusher", tree)
    extra = tree / "components/pusher/extra.txt"
    extra.write_text("a")
    added = fingerprint_code("pusher", tree)
    extra.rename(extra.with_name("other.txt"))
    renamed = fingerprint_code("pusher", tree)
    assert len({before, added, renamed}) == 3
    extra.with_name("other.txt").unlink()
    assert fingerprint_code("pusher", tree) == before


@pytest.mark.parametrize(
    "statement",
    [
        "import components.extra",
        "from components import extra",
        "from components.extra import name",
        "from ..extra import name",
        "from .. import extra",
        "def later():\n    from components.extra import name",
        "try:\n    pass\nexcept ImportError:\n    import components.extra",
        "class A:\n    def f(self):\n        with x:\n            import components.extra",
        "match x:\n    case 1:\n        import components.extra",
    ],
)
def test_every_kind_of_import_is_followed(tmp_path: Path, statement: str) -> None:
    _write_node(tmp_path, statement)
    assert "components/extra.py" in files_of("node", tmp_path)
    assert "components/further/deep.py" in files_of("node", tmp_path)
    assert "components/further/__init__.py" in files_of("node", tmp_path)


def test_what_only_type_checkers_import_does_not_count(tmp_path: Path) -> None:
    _write_node(tmp_path, "if TYPE_CHECKING:\n    import components.extra\nelse:\n    import os")
    assert files_of("node", tmp_path) == [
        "components/node/__init__.py",
        "components/node/component.py",
    ]


def _write_node(root: Path, statement: str) -> None:
    files = {
        "node/__init__.py": "",
        "node/component.py": f"{statement}\n",
        "extra.py": "from components.further import deep\n",
        "further/__init__.py": "",
        "further/deep.py": "import components.node.component\n",
        "unused.py": "",
    }
    for name, text in files.items():
        file = root / "components" / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
