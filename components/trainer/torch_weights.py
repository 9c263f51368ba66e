"""Reads a PyTorch state dict without PyTorch, and without running any code from the file.

The format is the one that `torch.save` wrote before version 1.6: four pickles (magic number,
protocol version, system information, the state dict), the pickled list of storage keys, and each
storage as an element count and raw numbers. See `torch/serialization.py`, `_legacy_save`.
"""

from __future__ import annotations

import collections
import dataclasses
import pickle
import struct
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from components.support.errors import ConfigError

_MAGIC_NUMBER = 0x1950A86A20F9469CFC6C
_PROTOCOL_VERSION = 1001
_STORAGE_DTYPES = {
    "FloatStorage": np.dtype("<f4"),
    "HalfStorage": np.dtype("<f2"),
    "DoubleStorage": np.dtype("<f8"),
    "LongStorage": np.dtype("<i8"),
    "IntStorage": np.dtype("<i4"),
}


@dataclasses.dataclass(frozen=True)
class _Storage:
    key: str
    dtype: np.dtype
    numel: int


@dataclasses.dataclass(frozen=True)
class _Tensor:
    storage: _Storage
    offset: int
    shape: tuple[int, ...]
    stride: tuple[int, ...]

    def resolve(self, values: np.ndarray) -> np.ndarray:
        last = self.offset + sum(
            (size - 1) * step for size, step in zip(self.shape, self.stride, strict=True)
        )
        if self.offset < 0 or min(self.stride, default=0) < 0 or last >= len(values):
            raise ValueError(f"a tensor of shape {self.shape} outside its storage")
        strides = tuple(step * values.itemsize for step in self.stride)
        view = np.lib.stride_tricks.as_strided(values[self.offset :], self.shape, strides)
        return view.copy()


def _rebuild_tensor(
    storage: _Storage, offset: int, shape: tuple[int, ...], stride: tuple[int, ...], *_: Any
) -> _Tensor:
    return _Tensor(storage, int(offset), tuple(shape), tuple(stride))


class _Unpickler(pickle.Unpickler):
    """Admits an ordered dictionary, tensors and storages, and nothing else."""

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) == ("collections", "OrderedDict"):
            return collections.OrderedDict
        if (module, name) == ("torch._utils", "_rebuild_tensor_v2"):
            return _rebuild_tensor
        if module == "torch" and name in _STORAGE_DTYPES:
            return _STORAGE_DTYPES[name]
        raise pickle.UnpicklingError(f"{module}.{name}, which no state dict of weights needs")

    def persistent_load(self, pid: Any) -> _Storage:
        kind, dtype, key, _location, numel, view = pid
        if kind != "storage" or view is not None:
            raise pickle.UnpicklingError(f"a reference to {kind!r}")
        return _Storage(str(key), dtype, int(numel))


def read_state_dict(path: Path) -> dict[str, np.ndarray]:
    """Returns the arrays of a PyTorch state dict in the format before PyTorch 1.6.

    Nothing in the file is executed: the unpickler admits an ordered dictionary, tensors and
    storages, and refuses every other name.

    Raises:
        ConfigError: the file is absent, broken, of another format, or holds something else.
    """
    try:
        with path.open("rb") as file:
            return _read(file)
    except (OSError, EOFError, ValueError, TypeError, struct.error, pickle.PickleError) as error:
        raise ConfigError(
            f"Expected {path} to be a PyTorch state dict of arrays, as torch.save wrote it before "
            f"PyTorch 1.6. Received: {type(error).__name__}: {error}. With a newer PyTorch, save "
            "it with _use_new_zipfile_serialization=False."
        ) from error


def _read(file: BinaryIO) -> dict[str, np.ndarray]:
    magic, version, system = (_Unpickler(file).load() for _ in range(3))
    if magic != _MAGIC_NUMBER or version != _PROTOCOL_VERSION:
        raise ValueError("another format")
    if not system.get("little_endian"):
        raise ValueError("big-endian numbers")
    tensors = _Unpickler(file).load()
    if not isinstance(tensors, dict) or not all(isinstance(t, _Tensor) for t in tensors.values()):
        raise ValueError("something other than a dictionary of tensors")
    dtypes = {tensor.storage.key: tensor.storage.dtype for tensor in tensors.values()}
    storages: dict[str, np.ndarray] = {}
    for key in _Unpickler(file).load():
        (numel,) = struct.unpack("<q", file.read(8))
        content = file.read(numel * dtypes[key].itemsize)
        storages[key] = np.frombuffer(content, dtypes[key], numel)
    return {name: tensor.resolve(storages[tensor.storage.key]) for name, tensor in tensors.items()}
