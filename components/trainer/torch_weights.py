"""Reads a PyTorch state dict without PyTorch, and without running any code from the file.

The format is the one that `torch.save` wrote before version 1.6: four pickles (magic number,
protocol version, system information, the state dict), the pickled list of storage keys, and each
storage as an element count and raw numbers. See `torch/serialization.py`, `_legacy_save`.

Whatever the bytes, they make nothing but arrays, and these take no more memory than a few times the
file: the unpickler is Python's own in Python, which has no table that a file can make it extend, it
knows only the instructions that state dicts are made of, and all numbers are checked before use.
"""

from __future__ import annotations

import collections
import dataclasses
import io
import math
import pickle
import struct
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, BinaryIO, ClassVar

import numpy as np

from components.support.errors import ConfigError
from components.support.texts import shortened

LARGEST_FILE = 1 << 30

_MAGIC_NUMBER = 0x1950A86A20F9469CFC6C
_PROTOCOL_VERSION = 1001
_STORAGE_DTYPES = {
    "FloatStorage": np.dtype("<f4"),
    "HalfStorage": np.dtype("<f2"),
    "DoubleStorage": np.dtype("<f8"),
    "LongStorage": np.dtype("<i8"),
    "IntStorage": np.dtype("<i4"),
}
_MOST_DIMENSIONS = 8
# What bytes that are no state dict make of an unpickler and of what reads its results.
_UNREADABLE = (
    OSError,
    EOFError,
    ValueError,
    TypeError,
    AttributeError,
    LookupError,
    ArithmeticError,
    MemoryError,
    RecursionError,
    struct.error,
    pickle.PickleError,
)
_INSTRUCTIONS = (
    *(pickle.PROTO, pickle.STOP, pickle.MARK, pickle.GLOBAL, pickle.BINPERSID, pickle.REDUCE),
    *(pickle.NONE, pickle.NEWTRUE, pickle.NEWFALSE),
    *(pickle.BININT, pickle.BININT1, pickle.BININT2, pickle.LONG1, pickle.BINUNICODE),
    *(pickle.EMPTY_TUPLE, pickle.TUPLE, pickle.TUPLE1, pickle.TUPLE2, pickle.TUPLE3),
    *(pickle.EMPTY_LIST, pickle.APPEND, pickle.APPENDS),
    *(pickle.EMPTY_DICT, pickle.SETITEM, pickle.SETITEMS, pickle.BUILD),
    *(pickle.BINPUT, pickle.LONG_BINPUT, pickle.BINGET, pickle.LONG_BINGET),
)


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

    @property
    def size(self) -> int:
        return math.prod(self.shape)

    def resolve(self, values: np.ndarray) -> np.ndarray:
        last = self.offset + sum(
            (size - 1) * step for size, step in zip(self.shape, self.stride, strict=True)
        )
        if self.size > len(values) or self.offset > len(values) or last >= len(values):
            raise ValueError(f"a tensor of shape {self.shape} outside its storage")
        strides = tuple(step * values.itemsize for step in self.stride)
        view = np.lib.stride_tricks.as_strided(values[self.offset :], self.shape, strides)
        return view.copy()


def _rebuild_tensor(storage: Any, offset: Any, shape: Any, stride: Any, *_: Any) -> _Tensor:
    numbers = (offset, *_few(shape), *_few(stride))
    if not isinstance(storage, _Storage) or not all(_is_count(number) for number in numbers):
        raise ValueError("a tensor that is described by something else than numbers")
    return _Tensor(storage, offset, tuple(shape), tuple(stride))


def _few(sizes: Any) -> Sequence[Any]:
    if not isinstance(sizes, tuple) or len(sizes) > _MOST_DIMENSIONS:
        raise ValueError(f"a tensor without at most {_MOST_DIMENSIONS} dimensions")
    return sizes


def _is_count(number: Any) -> bool:
    return type(number) is int and 0 <= number <= LARGEST_FILE


class _Unpickler(pickle._Unpickler):
    """Admits an ordered dictionary with texts as keys, tensors and storages, and nothing else."""

    stack: list[Any]
    dispatch: ClassVar[dict[int, Callable[[Any], None]]] = {
        code[0]: pickle._Unpickler.dispatch[code[0]] for code in _INSTRUCTIONS
    }

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) == ("collections", "OrderedDict"):
            return _ordered_dict
        if (module, name) == ("torch._utils", "_rebuild_tensor_v2"):
            return _rebuild_tensor
        if module == "torch" and name in _STORAGE_DTYPES:
            return _STORAGE_DTYPES[name]
        raise pickle.UnpicklingError(f"{module}.{name}, which no state dict of weights needs")

    def persistent_load(self, pid: Any) -> _Storage:
        kind, dtype, key, _location, numel, view = pid
        if kind != "storage" or view is not None or not isinstance(dtype, np.dtype):
            raise pickle.UnpicklingError("a reference to something else than a storage")
        if not isinstance(key, str) or not _is_count(numel):
            raise pickle.UnpicklingError("a storage without a name or a size")
        return _Storage(key, dtype, numel)

    def load_setitem(self) -> None:
        value, key = self.stack.pop(), self.stack.pop()
        self._set({key: value} if isinstance(key, str) else None)

    def load_setitems(self) -> None:
        items = self.pop_mark()  # type: ignore[attr-defined]
        keys = items[::2]
        is_sound = len(items) % 2 == 0 and all(isinstance(key, str) for key in keys)
        self._set(dict(zip(keys, items[1::2], strict=True)) if is_sound else None)

    def load_build(self) -> None:
        self.stack.pop()  # `_metadata` of the state dict: versions of its modules

    def _set(self, items: dict[str, Any] | None) -> None:
        # The hash of a tuple in a tuple in a tuple ... would exhaust the stack of the process.
        if items is None or not isinstance(self.stack[-1], dict):
            raise pickle.UnpicklingError("a dictionary whose keys are not texts")
        self.stack[-1].update(items)

    dispatch[pickle.SETITEM[0]] = load_setitem
    dispatch[pickle.SETITEMS[0]] = load_setitems
    dispatch[pickle.BUILD[0]] = load_build


def _ordered_dict() -> dict[str, Any]:
    return collections.OrderedDict()


def read_state_dict(path: Path) -> dict[str, np.ndarray]:
    """Returns the arrays of a PyTorch state dict in the format before PyTorch 1.6.

    Nothing in the file is executed: the unpickler admits an ordered dictionary, tensors and
    storages, and refuses every other name.

    Raises:
        ConfigError: the file is absent, broken, too large, of another format, or holds something
            else.
    """
    try:
        with path.open("rb") as file:
            content = file.read(LARGEST_FILE + 1)
        if len(content) > LARGEST_FILE:
            raise ValueError(f"more than {LARGEST_FILE:,} bytes")
        return _read(io.BytesIO(content), len(content))
    except _UNREADABLE as error:
        received = shortened(f"{type(error).__name__}: {error}")
        raise ConfigError(
            f"Expected {path} to be a PyTorch state dict of arrays, as torch.save wrote it before "
            f"PyTorch 1.6. Received: {received}. With a newer PyTorch, save it with "
            "_use_new_zipfile_serialization=False."
        ) from error


def _read(file: BinaryIO, length: int) -> dict[str, np.ndarray]:
    magic, version, system = (_Unpickler(file).load() for _ in range(3))
    if magic != _MAGIC_NUMBER or version != _PROTOCOL_VERSION:
        raise ValueError("another format")
    if not isinstance(system, dict) or not system.get("little_endian"):
        raise ValueError("big-endian numbers")
    tensors = _Unpickler(file).load()
    if not isinstance(tensors, dict) or not all(isinstance(t, _Tensor) for t in tensors.values()):
        raise ValueError("something other than a dictionary of tensors")
    # Tensors may share a storage, but not so that the arrays outgrow the file.
    if sum(tensor.size * tensor.storage.dtype.itemsize for tensor in tensors.values()) > 2 * length:
        raise ValueError("more numbers than the file has room for")
    dtypes = {tensor.storage.key: tensor.storage.dtype for tensor in tensors.values()}
    keys = _Unpickler(file).load()
    if not isinstance(keys, list) or not all(isinstance(key, str) for key in keys):
        raise ValueError("no list of storages")
    storages: dict[str, np.ndarray] = {}
    for key in keys:
        (numel,) = struct.unpack("<q", file.read(8))
        if not _is_count(numel):
            raise ValueError(f"a storage of {numel} numbers")
        content = file.read(numel * dtypes[key].itemsize)
        storages[key] = np.frombuffer(content, dtypes[key], numel)
    return {name: tensor.resolve(storages[tensor.storage.key]) for name, tensor in tensors.items()}
