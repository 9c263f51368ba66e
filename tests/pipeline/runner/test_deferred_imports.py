from __future__ import annotations

import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from pipeline.runner import deferred_imports

ROOT = Path(__file__).parents[3]


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A package `heavy` that counts how often each of its modules was executed, in `counts`."""
    files = {
        "counts.py": "executed = []",
        "heavy/__init__.py": """
            import counts; counts.executed.append(__name__)
            from heavy import part
            value = part.value
            __version__ = "1"
            """,
        "heavy/part.py": "import counts; counts.executed.append(__name__); value = 7",
        "heavy/light.py": "import counts; counts.executed.append(__name__); import heavy",
        "mended.py": "import counts; counts.executed.append(__name__); name = parts.pop()",
        "heavy/mend.py": """
            import counts; counts.executed.append(__name__)
            import mended
            vars(mended).setdefault("parts", ["brought"])
            assert mended.name == "brought"
            """,
        "heavy/executor.py": """
            import counts; counts.executed.append(__name__)
            class Executor:
                def __init__(self, size): self.size = size
            """,
    }
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(textwrap.dedent(text))
    monkeypatch.syspath_prepend(tmp_path)
    deferred = {
        "heavy": deferred_imports._Deferred(light=("light", "executor", "mend")),
        "heavy.mend": deferred_imports._Deferred(),
        "mended": deferred_imports._Deferred(after="heavy.mend"),
        "heavy.executor": deferred_imports._Deferred(classes=("Executor",)),
    }
    monkeypatch.setattr(deferred_imports, "_DEFERRED", deferred)
    finders = sys.meta_path[:]
    yield "heavy"
    sys.meta_path[:] = finders
    ours = ("heavy", "counts", "mended")
    for name in [name for name in sys.modules if name.split(".")[0] in ours]:
        del sys.modules[name]


def _executed() -> list[str]:
    import counts

    return counts.executed


def test_a_module_executes_when_it_is_asked_for_a_name_and_only_once(package: str) -> None:
    with deferred_imports.deferred_imports():
        import heavy
    assert _executed() == []
    assert not hasattr(heavy, "__wrapped__")  # as tools ask all modules
    assert _executed() == []
    assert heavy.value == 7
    assert heavy.__version__ == "1"
    assert _executed() == ["heavy", "heavy.part"]
    assert type(heavy) is type(sys)
    assert heavy is sys.modules["heavy"]
    with pytest.raises(AttributeError, match="'heavy' has no attribute 'other'"):
        _ = heavy.other


def test_a_submodule_executes_its_package_first_and_is_loaded_once(package: str) -> None:
    with deferred_imports.deferred_imports():
        import heavy
    import heavy.part
    from heavy.part import value

    assert value == 7
    assert _executed() == ["heavy", "heavy.part"]
    assert sys.modules["heavy.part"] is heavy.part
    assert heavy.part.__spec__.origin == heavy.part.__file__


def test_a_light_submodule_leaves_its_package_alone(package: str) -> None:
    with deferred_imports.deferred_imports():
        import heavy.light
        from heavy import light
    assert _executed() == ["heavy.light"]
    assert heavy.light is light
    assert heavy.part.value == 7


def test_a_class_that_was_only_named_makes_objects_of_the_real_one(package: str) -> None:
    with deferred_imports.deferred_imports():
        from heavy.executor import Executor as named
    assert _executed() == []
    assert (named.__module__, named.__qualname__) == ("heavy.executor", "Executor")
    from heavy.executor import Executor

    assert named is not Executor
    assert type(named(3)) is Executor
    assert named(3).size == 3


def test_what_a_module_needs_beforehand_executes_first_and_may_ask_for_it(package: str) -> None:
    """As TFX 1.21 completes TFMA 0.52, see `components.support.compat`."""
    with deferred_imports.deferred_imports():
        import heavy.mend  # noqa: F401
        import mended
    assert _executed() == []
    assert mended.name == "brought"
    assert _executed() == ["heavy.mend", "mended"]


def test_what_is_loaded_already_is_left_as_it_is(package: str) -> None:
    import heavy

    with deferred_imports.deferred_imports():
        import heavy as again
    assert again is heavy
    assert heavy.value == 7
    assert _executed() == ["heavy", "heavy.part"]


def test_outside_of_the_block_modules_load_as_ever(package: str) -> None:
    with deferred_imports.deferred_imports():
        pass
    import heavy  # noqa: F401

    assert _executed() == ["heavy", "heavy.part"]


@pytest.mark.slow
def test_a_pipeline_compiles_without_the_libraries_that_its_nodes_run_with() -> None:
    """Else every run pays for them, and one that is cached as a whole for nothing."""
    code = """
        import sys
        from pipeline.config import load_config
        from pipeline.kubeflow.run_inputs import run_inputs
        from pipeline.runner.deferred_imports import _DEFERRED, deferred_imports, is_deferred
        with deferred_imports():
            from tfx.dsl.compiler.compiler import Compiler
            from pipeline.pipeline import create_pipeline
            import pipeline.runner.launching
            config = load_config("sample")
            Compiler().compile(create_pipeline(config, run_inputs(config)))
        heavy = {name for name in _DEFERRED if name in sys.modules and not is_deferred(name)}
        assert not heavy, heavy
        assert not {"sklearn", "scipy", "keras", "kubernetes", "PIL"} & set(sys.modules)
        """
    subprocess.run([sys.executable, "-c", textwrap.dedent(code)], check=True, cwd=ROOT, timeout=300)


@pytest.mark.slow
def test_the_compiled_pipeline_is_the_same_with_and_without_deferring() -> None:
    code = """
        import contextlib, sys
        from pipeline.config import load_config
        from pipeline.kubeflow.run_inputs import run_inputs
        from pipeline.runner.deferred_imports import deferred_imports
        with deferred_imports() if sys.argv[1] == "deferred" else contextlib.nullcontext():
            from tfx.dsl.compiler.compiler import Compiler
            from tfx.proto.orchestration import pipeline_pb2
            from pipeline.pipeline import create_pipeline
            config = load_config("sample")
            ir = Compiler().compile(create_pipeline(config, run_inputs(config)))
        deployment = pipeline_pb2.IntermediateDeploymentConfig()
        ir.deployment_config.Unpack(deployment)  # packed, its maps are in any order
        ir.ClearField("deployment_config")
        for message in (ir, deployment):
            sys.stdout.buffer.write(message.SerializeToString(deterministic=True))
        """
    compiled = [
        subprocess.run(
            [sys.executable, "-W", "ignore", "-c", textwrap.dedent(code), way],
            check=True,
            cwd=ROOT,
            timeout=300,
            stdout=subprocess.PIPE,
        ).stdout
        for way in ("deferred", "at once")
    ]
    assert compiled[0] == compiled[1]
    assert b"components.evaluator.executor.Executor" in compiled[0]
