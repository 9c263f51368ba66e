"""Real models in real processes: each kind of failure is a refusal of its own."""

from __future__ import annotations

import shutil
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import tensorflow as tf

from components.contracts import signatures
from components.contracts.serving_check import (
    ServingCheck,
    State,
    read_serving_check,
    write_serving_check,
)
from components.infra_validator.check import decide
from components.infra_validator.config import PYTHON, SESSION
from components.infra_validator.processes import Examined, examine
from components.infra_validator.recorded import COVERS
from components.support.errors import MachineError
from components.trainer.export import ServingModule
from tests.components.infra_validator.conftest import (
    GENRES,
    LOADERS,
    RULE,
    SIDE,
    Check,
    Good,
    network,
    save,
    write_model,
)

IMAGES = tf.TensorSpec([None], tf.string, name=signatures.IMAGE_BYTES)
PIXELS = tf.TensorSpec([None, SIDE, SIDE, 3], tf.uint8, name=signatures.PIXELS)


def _failed(found: ServingCheck) -> dict[str, str]:
    """Asserts a refusal; returns what was refused, and what was received instead."""
    assert found.state is State.REFUSED
    decision = decide(found)
    assert [each.what for each in decision.refusals] == [t.sentence() for t in found.failures]
    assert all(each.remedy for each in decision.refusals)
    return {test.where: test.got for test in found.failures}


def _save(good: Good, folder: Path, module: ServingModule, **others: Callable[..., object]) -> Path:
    """Saves a module as the Trainer does, but for some signatures."""
    return save(
        module,
        good.model,
        folder,
        **{
            signatures.SERVING_SIGNATURE: module.serve_images,
            signatures.EXAMPLES_SIGNATURE: module.serve_examples,
            signatures.PIXELS_SIGNATURE: tf.function(module.serve_pixels, input_signature=[PIXELS]),
            **others,
        },
    )


def _serving(
    module: ServingModule, change: Callable[[tf.Tensor, dict[str, tf.Tensor]], dict[str, tf.Tensor]]
) -> Callable[..., object]:
    """Returns the signature for clients with its answers changed."""

    @tf.function(input_signature=[IMAGES])
    def serve(image_bytes: tf.Tensor) -> dict[str, tf.Tensor]:
        return change(image_bytes, module.serve_images(image_bytes))

    return serve  # type: ignore[no-any-return]


@pytest.fixture(scope="module")
def module() -> ServingModule:
    """The good model, before it is saved."""
    return ServingModule(network(0), GENRES, RULE)


@pytest.mark.slow
def test_a_good_model_passes_in_both_loaders(good: Good, check: Check, tmp_path: Path) -> None:
    found = check(good.model)
    assert found.state is State.PASSED, found.failures
    assert decide(found).passed
    assert found.covers == len(good.covers.ids) and found.requests > 15
    assert set(found.loaders) == set(LOADERS) == {test.loader for test in found.tests} - {""}
    for taken in found.loaders.values():
        assert taken.latency_p50_ms is not None and taken.latency_p95_ms is not None
        assert 0 < taken.latency_p50_ms <= taken.latency_p95_ms
        assert 50 < taken.memory_mb <= taken.second_memory_mb < 8_000
    assert found.loaders[SESSION].memory_mb < found.loaders[PYTHON].memory_mb
    write_serving_check(tmp_path, found)
    assert read_serving_check(tmp_path) == found


@pytest.mark.slow
def test_variables_that_the_module_does_not_track_load_in_python_only(
    good: Good, check: Check, tmp_path: Path
) -> None:
    """A tf.Module does not see those of a Keras 3 model: a model so exported answered nowhere."""
    of_keras = network(0)
    untracked = ServingModule(of_keras, GENRES, RULE)
    del untracked.network_variables
    untracked.network = of_keras
    failed = _failed(check(_save(good, tmp_path, untracked)))
    assert not [where for where in failed if where.startswith(PYTHON)]
    assert "Could not find variable" in failed[f"session loader: {COVERS}"]
    assert "agreement" in failed


def test_other_weights_are_not_what_was_evaluated(check: Check, tmp_path: Path) -> None:
    found = check(write_model(tmp_path, seed=1), SESSION)
    assert set(_failed(found)) == {
        "session loader: recorded covers", "session loader: recorded examples"
    }  # fmt: skip
    assert all(test.value and test.value > 1e-3 and test.bound == 1e-5 for test in found.failures)


def test_a_signature_of_another_name_or_type_is_refused_without_loading(
    good: Good, check: Check, module: ServingModule, tmp_path: Path
) -> None:
    def as_float(_: tf.Tensor, answer: dict[str, tf.Tensor]) -> dict[str, tf.Tensor]:
        return {**answer, "decisions": tf.cast(answer["decisions"], tf.float32)}

    model = save(
        module,
        good.model,
        tmp_path,
        serving_default=_serving(module, as_float),
        serve=module.serve_examples,
    )
    found = check(model)
    failed = _failed(found)
    assert set(failed) == {f"signature {name}" for name in (
        "serving_default", "serve_examples", "serve_pixels"
    )}  # fmt: skip
    assert "decisions float [n, 3]" in failed["signature serving_default"]
    assert failed["signature serve_examples"] == "no such signature, but serve, serving_default"
    assert not found.loaders


def test_an_empty_batch_that_fails_is_refused(
    good: Good, check: Check, module: ServingModule, tmp_path: Path
) -> None:
    def refuse(images: tf.Tensor, answer: dict[str, tf.Tensor]) -> dict[str, tf.Tensor]:
        with tf.control_dependencies([tf.debugging.assert_positive(tf.size(images))]):
            return {key: tf.identity(value) for key, value in answer.items()}

    model = _save(good, tmp_path, module, serving_default=_serving(module, refuse))
    failed = _failed(check(model, SESSION))
    assert set(failed) == {"session loader: kinds of requests"}
    assert failed["session loader: kinds of requests"].startswith("no cover: assertion failed")


@pytest.mark.parametrize("option", ["max_load_seconds", "max_latency_ms", "max_memory_mb"])
def test_a_budget_exceeded_is_a_refusal_and_null_is_none(
    good: Good, check: Check, option: str
) -> None:
    no_bounds = dict.fromkeys(("max_load_seconds", "max_latency_ms", "max_memory_mb"))
    found = check(good.model, SESSION, **{**no_bounds, "max_seconds": None, option: 1e-6})
    (failure,) = found.failures
    assert failure.bound == 1e-6
    assert failure.value is not None and failure.value > 1e-6
    assert f"infra_validator.{option}" in failure.remedy
    # A refusal is cached: how to measure again, without training again.
    assert "infra_validator.requests" in failure.remedy and "--no-cache" in failure.remedy


def test_a_process_that_crashes_is_a_refusal(
    good: Good, check: Check, module: ServingModule, tmp_path: Path
) -> None:
    def crash(_: tf.Tensor, answer: dict[str, tf.Tensor]) -> dict[str, tf.Tensor]:
        with tf.control_dependencies([tf.raw_ops.Abort(error_msg="the graph ends it")]):
            return {key: tf.identity(value) for key, value in answer.items()}

    found = check(_save(good, tmp_path, module, serving_default=_serving(module, crash)), SESSION)
    (got,) = _failed(found).values()
    assert got.startswith(
        "a process killed by SIGABRT, while answering the request 'recorded covers'"
    )
    assert "the graph ends it" in got
    assert not found.loaders


def test_a_process_that_does_not_end_is_killed_and_no_refusal(
    good: Good, check: Check, module: ServingModule, tmp_path: Path
) -> None:
    def hang(images: tf.Tensor, answer: dict[str, tf.Tensor]) -> dict[str, tf.Tensor]:
        waited = tf.while_loop(lambda i: i >= 0, lambda i: (i + 1) % 7, [tf.size(images)])
        with tf.control_dependencies(waited):
            return {key: tf.identity(value) for key, value in answer.items()}

    model = _save(good, tmp_path, module, serving_default=_serving(module, hang))
    with pytest.raises(MachineError, match=r"Received: no end, while .*max_seconds"):
        check(model, SESSION, max_seconds=4)


def _examine(folder: Path, script: str) -> Examined:
    file = folder / "script.py"
    file.write_text(f"import json, os, sys; print('loading', flush=True)\n{script}")
    return examine({"loader": SESSION}, folder, 60.0, file)


@pytest.mark.parametrize("name", ["SIGKILL", "SIGTERM", "SIGINT", "SIGHUP", "SIGXCPU"])
def test_a_process_that_is_killed_from_outside_is_no_refusal(tmp_path: Path, name: str) -> None:
    number = int(signal.Signals[name])
    kill = f"import signal; signal.signal({number}, 0)\n" if name == "SIGINT" else ""
    with pytest.raises(MachineError, match=f"killed by {name}.* while loading") as raised:
        _examine(tmp_path, f"{kill}os.kill(os.getpid(), {number})")
    assert ("when memory runs out" in str(raised.value)) == (name == "SIGKILL")


@pytest.mark.parametrize("name", ["SIGABRT", "SIGSEGV", "SIGFPE", "SIGILL", "SIGBUS"])
def test_a_process_that_crashes_is_one_that_servers_would_see(tmp_path: Path, name: str) -> None:
    examined = _examine(tmp_path, f"os.kill(os.getpid(), {int(signal.Signals[name])})")
    assert examined.answer is None
    assert examined.end == f"a process killed by {name}, while loading"


def test_a_process_that_ends_without_an_answer_says_its_last_words(tmp_path: Path) -> None:
    assert _examine(tmp_path, "raise SystemExit('nothing to say')").end == (
        "exit code 1 without an answer, while loading (nothing to say)"
    )


@pytest.mark.parametrize(
    "script",
    [
        "raise OSError(28, 'No space left on device')",
        "raise OSError(24, 'Too many open files')",
        "raise OSError(12, 'Cannot allocate memory')",
        "raise MemoryError",
        "raise MemoryError('of many cells')",
        "print('  what():  std::bad_alloc', file=sys.stderr, flush=True); os.abort()",
    ],
)
def test_what_the_machine_refuses_is_no_refusal(tmp_path: Path, script: str) -> None:
    with pytest.raises(MachineError, match=r"Received: .* while loading"):
        _examine(tmp_path, script)


@pytest.mark.parametrize(
    "answer",
    [
        {"error": "OOM", "code": 8},
        {"error": "MemoryError: of many cells", "code": None},
        {"error": "variables/variables.index; Too many open files", "code": 2},
        {"answers": {"one": {"error": "OOM when allocating", "code": 8}}, "again": {}},
        {"answers": {"one": {"outputs": {}}}, "again": {"one": {"error": "OOM", "code": 8}}},
    ],
)
def test_an_answer_for_which_memory_or_files_ran_out_is_no_refusal(
    tmp_path: Path, answer: dict[str, Any]
) -> None:
    write = f"open(sys.argv[2], 'w').write(json.dumps({answer!r}))"
    with pytest.raises(MachineError, match="Received: the error"):
        _examine(tmp_path, write)


@pytest.mark.parametrize(
    "answer",
    [
        {"error": "Could not find variable dense/kernel", "code": 5},
        {"answers": {"junk": {"error": "MemoryError: as text", "code": 3}}, "again": {}},
    ],
)
def test_other_errors_are_left_to_the_judge(tmp_path: Path, answer: dict[str, Any]) -> None:
    examined = _examine(tmp_path, f"open(sys.argv[2], 'w').write(json.dumps({answer!r}))")
    assert examined == Examined(answer)


def test_files_that_are_no_model_are_refused(good: Good, check: Check, tmp_path: Path) -> None:
    model = Path(shutil.copytree(good.model, tmp_path / "model"))
    (model / "saved_model.pb").write_bytes(b"\xff" * 40)
    assert _failed(check(model))["files"].startswith("saved_model.pb that cannot be read")
    (model / "saved_model.pb").write_bytes(b"")
    assert "without a graph" in _failed(check(model))["files"]


def test_variables_that_are_damaged_are_refused(good: Good, check: Check, tmp_path: Path) -> None:
    model = Path(shutil.copytree(good.model, tmp_path / "model"))
    shutil.rmtree(model / "variables")
    failed = _failed(check(model, SESSION))
    assert failed and all("the error: " in got for got in failed.values())


def test_a_model_that_is_stuck_after_a_refusal_is_refused(
    good: Good, check: Check, module: ServingModule, tmp_path: Path
) -> None:
    """As one would be whose state a failed request changes."""
    stuck = ServingModule(network(0), GENRES, RULE)
    stuck.asked = tf.Variable(0.0)

    def drift(_: tf.Tensor, answer: dict[str, tf.Tensor]) -> dict[str, tf.Tensor]:
        drifted = answer["probabilities"] * (1.0 - 1e-3 * stuck.asked.assign_add(1.0))
        return {**answer, "probabilities": drifted}

    model = _save(good, tmp_path, stuck, serving_default=_serving(stuck, drift))
    failed = _failed(check(model, SESSION))
    assert "apart" in failed["session loader: after a refusal"]
