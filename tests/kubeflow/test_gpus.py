"""A task that requested GPUs does not start without them, and says why."""

from __future__ import annotations

from typing import Any

import pytest
import tensorflow as tf

from components.support.errors import ConfigError, CoversError, MachineError
from pipeline.kubeflow.container import entrypoint, gpus


@pytest.mark.parametrize(
    ("built", "device", "driver", "visible", "error", "remedy"),
    [
        (False, True, True, 0, ConfigError, "built for processors alone"),
        (True, False, False, 0, MachineError, "device plugin"),
        (True, True, False, 0, MachineError, "has NVIDIA's driver"),
        (True, True, True, 0, ConfigError, "lacks CUDA's libraries"),
        (True, True, True, 1, MachineError, "nvidia-smi"),
    ],
)
def test_it_says_what_is_missing(
    monkeypatch: pytest.MonkeyPatch,
    built: bool,
    device: bool,
    driver: bool,
    visible: int,
    error: type[CoversError],
    remedy: str,
) -> None:
    monkeypatch.setattr(tf.config, "list_physical_devices", lambda kind: [kind] * visible)
    monkeypatch.setattr(tf.test, "is_built_with_gpu_support", lambda: built)
    monkeypatch.setattr(gpus, "_has_device", lambda: device)
    monkeypatch.setattr(gpus, "_has_driver", lambda: driver)
    with pytest.raises(error, match=f"to see 2 GPUs.* Received: {visible or 'none'}.*{remedy}"):
        gpus.check_gpus(2)


def test_it_is_content_with_what_was_requested(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tf.config, "list_physical_devices", lambda kind: [kind] * 2)
    gpus.check_gpus(1)
    gpus.check_gpus(2)


def test_the_task_ends_before_it_reads_anything(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def read(*_: Any) -> None:
        raise AssertionError("the task's input was read")

    monkeypatch.setattr(tf.config, "list_physical_devices", lambda kind: [])
    monkeypatch.setattr(entrypoint, "read_task_input", read)
    words = ["--json_serialized_invocation_args", "{}", "--json_serialized_inputs_spec_args", "{}"]
    code = entrypoint.main(["--executor_class_path", "builtins.dict", "--gpus", "1", *words])
    assert code in (1, 2)
    assert "Error: Expected TensorFlow to see 1 GPU," in capsys.readouterr().err
