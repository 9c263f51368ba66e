"""Checks, before anything else, that TensorFlow sees the GPUs which a task requested.

Without this check it would train on the processor, for days, next to a GPU that is paid for.
"""

from __future__ import annotations

import ctypes
from pathlib import Path

from components.support.errors import ConfigError, MachineError

_DRIVERS = ("libcuda.so.1", "libamdhip64.so")
_DEVICES = ("nvidia[0-9]*", "nvidia-caps", "dxg", "kfd")


def check_gpus(expected: int) -> None:
    """Raises unless TensorFlow sees as many GPUs as were requested.

    Raises:
        ConfigError: the image's TensorFlow cannot use a GPU.
        MachineError: the node did not give the container its GPUs or their driver.
    """
    import tensorflow as tf

    visible = len(tf.config.list_physical_devices("GPU"))
    if visible >= expected:
        return
    message = (
        f"Expected TensorFlow to see {expected} GPU{'s' if expected > 1 else ''}, as the task "
        f"requests in kubeflow.tasks (accelerator). Received: {visible or 'none'}"
    )
    if not tf.test.is_built_with_gpu_support():
        raise ConfigError(
            f"{message}; the image's TensorFlow is built for processors alone. Build the image on "
            "a base with TensorFlow for GPUs, or remove the accelerator."
        )
    if not _has_device():
        raise MachineError(
            f"{message}; the container has no such device. Check that the node's device plugin and "
            "container runtime (runtimeClassName) hand GPUs to containers."
        )
    if not _has_driver():
        raise MachineError(
            f"{message}; {_DRIVERS[0]} cannot be loaded. Check that the node has NVIDIA's driver "
            "and that its container runtime mounts it."
        )
    if not visible:
        raise ConfigError(
            f"{message}; the device and its driver are there, so the image lacks CUDA's libraries, "
            "or has some that the driver is too old for. Build an image with them (make image "
            "WITH_CUDA=1), or update the node's driver."
        )
    raise MachineError(
        f"{message}. Check CUDA_VISIBLE_DEVICES, and the health of the node's GPUs (nvidia-smi)."
    )


def _has_device() -> bool:
    return any(any(Path("/dev").glob(pattern)) for pattern in _DEVICES)


def _has_driver() -> bool:
    for library in _DRIVERS:
        try:
            ctypes.CDLL(library)
        except OSError:
            continue
        return True
    return False
