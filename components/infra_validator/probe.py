"""Loads a SavedModel as a server does, asks it, and writes down answers, times and memory.

    python -I probe.py REQUEST ANSWER

It is a process that has TensorFlow and nothing of this project. REQUEST is a JSON file:

- `loader`: "session" loads through TensorFlow's C API, as TensorFlow Serving and KServe do, and
  does not import TensorFlow's Python code, whose loader finds variables that this one does not;
  "python" loads through `tf.saved_model.load`.
- `library`: libtensorflow_cc of the Python package. `model`: the folder of the model.
- `signatures`: name -> `inputs` and `outputs`, key -> name of the tensor, such as
  `serving_default_image_bytes:0`.
- `requests`: each `name`, `signature`, `input`, and either `files`, whose bytes are the batch, or
  `pixels`, a file of uint8 values, and their `shape`.
- `timed`: name of the request that is repeated, at most `repeats` times and `timed_seconds`.
- `again`: names of the requests that the model, loaded a second time, answers again.

ANSWER receives `answers` and `again`, by the request's name either `outputs`, key -> rows, or
`error` and its `code`; `load_seconds` and `memory_mb`, of the first and of the second loading;
`latency_ms`; or only `error`, if the model cannot be loaded. What the process is doing goes to
standard output, a line each, for whoever finds it dead.
"""

from __future__ import annotations

import ctypes
import json
import math
import signal
import sys
import time
from ctypes import POINTER, byref, c_char_p, c_int, c_int64, c_size_t, c_void_p
from pathlib import Path
from typing import Any

_FLOAT, _UINT8, _STRING, _INT64 = 1, 4, 7, 9
_STRING_BYTES = 24  # sizeof(TF_TString)
_WARM_UPS = 3
_DIE_WITH_PARENT = 1  # PR_SET_PDEATHSIG

Request = dict[str, Any]
Outputs = dict[str, list[list[Any]]]


class ModelError(Exception):
    """What TensorFlow said, and its code: 3 is INVALID_ARGUMENT."""

    def __init__(self, message: str, code: int | None) -> None:
        super().__init__(message)
        self.code = code


class _Port(ctypes.Structure):  # TF_Output
    _fields_ = (("operation", c_void_p), ("index", c_int))


class SessionModel:
    """A SavedModel loaded by TF_LoadSessionFromSavedModel."""

    def __init__(self, asked: Request) -> None:
        self._signatures = asked["signatures"]
        self._tf = tf = ctypes.CDLL(asked["library"])
        for name in [
            "TF_NewStatus",
            "TF_NewGraph",
            "TF_NewSessionOptions",
            "TF_LoadSessionFromSavedModel",
            "TF_GraphOperationByName",
            "TF_AllocateTensor",
            "TF_TensorData",
            "TF_StringGetDataPointer",
        ]:
            getattr(tf, name).restype = c_void_p
        for name in ("TF_Dim", "TF_StringGetSize"):
            getattr(tf, name).restype = c_size_t
        tf.TF_Message.restype = c_char_p
        self._status = c_void_p(tf.TF_NewStatus())
        self._graph = c_void_p(tf.TF_NewGraph())
        tags = (c_char_p * 1)(b"serve")
        options = c_void_p(tf.TF_NewSessionOptions())
        folder = asked["model"].encode()
        self._session = c_void_p(
            tf.TF_LoadSessionFromSavedModel(
                options, None, folder, tags, 1, self._graph, None, self._status
            )
        )
        self._check()

    def ask(self, request: Request) -> Outputs:
        """Answers one request."""
        tf, signature = self._tf, self._signatures[request["signature"]]
        keys = list(signature["outputs"])
        ports = (_Port * len(keys))(*(self._port(signature["outputs"][key]) for key in keys))
        fetched = (c_void_p * len(keys))()
        fed = c_void_p(self._pixels(request) if "pixels" in request else self._strings(request))
        tf.TF_SessionRun(
            self._session,
            None,
            byref(self._port(signature["inputs"][request["input"]])),
            (c_void_p * 1)(fed.value),
            1,
            ports,
            fetched,
            len(keys),
            None,
            0,
            None,
            self._status,
        )
        tf.TF_DeleteTensor(fed)
        self._check()
        outputs = {key: self._rows(c_void_p(each)) for key, each in zip(keys, fetched, strict=True)}
        for each in fetched:
            tf.TF_DeleteTensor(c_void_p(each))
        return outputs

    def _port(self, name: str) -> _Port:
        operation, _, index = name.partition(":")
        found = self._tf.TF_GraphOperationByName(self._graph, operation.encode())
        if not found:
            raise ModelError(f"the graph has no operation {operation}", None)
        return _Port(found, int(index))

    def _strings(self, request: Request) -> int:
        values = _batch(request)
        tf, size = self._tf, _STRING_BYTES * len(values)
        shape = (c_int64 * 1)(len(values))
        tensor: int = tf.TF_AllocateTensor(_STRING, shape, 1, c_size_t(size))
        data = tf.TF_TensorData(c_void_p(tensor))
        for place, value in enumerate(values):
            string = c_void_p(data + _STRING_BYTES * place)
            tf.TF_StringInit(string)
            tf.TF_StringCopy(string, value, c_size_t(len(value)))
        return tensor

    def _pixels(self, request: Request) -> int:
        values, shape = Path(request["pixels"]).read_bytes(), request["shape"]
        dimensions = (c_int64 * len(shape))(*shape)
        tensor: int = self._tf.TF_AllocateTensor(
            _UINT8, dimensions, len(shape), c_size_t(len(values))
        )
        ctypes.memmove(self._tf.TF_TensorData(c_void_p(tensor)), values, len(values))
        return tensor

    def _rows(self, tensor: c_void_p) -> list[list[Any]]:
        tf = self._tf
        sizes = [tf.TF_Dim(tensor, axis) for axis in range(tf.TF_NumDims(tensor))]
        rows, columns = sizes[0] if sizes else 1, math.prod(sizes[1:])
        data, kind, count = tf.TF_TensorData(tensor), tf.TF_TensorType(tensor), rows * columns
        values: list[Any]
        if kind == _STRING:
            strings = [c_void_p(data + _STRING_BYTES * place) for place in range(count)]
            values = [
                _text(ctypes.string_at(tf.TF_StringGetDataPointer(each), tf.TF_StringGetSize(each)))
                for each in strings
            ]
        else:
            ctype: Any = {_FLOAT: ctypes.c_float, _INT64: c_int64}.get(kind)
            if ctype is None:
                raise ModelError(f"an output of data type {kind}", None)
            values = list(ctypes.cast(data, POINTER(ctype))[:count]) if count else []
        return [values[row * columns : (row + 1) * columns] for row in range(rows)]

    def _check(self) -> None:
        if code := self._tf.TF_GetCode(self._status):
            raise ModelError(_text(self._tf.TF_Message(self._status)), code)


class PythonModel:
    """A SavedModel loaded by `tf.saved_model.load`."""

    def __init__(self, asked: Request) -> None:
        import tensorflow as tf

        self._tf = tf
        try:
            self._module = tf.saved_model.load(asked["model"])
        except Exception as error:  # whatever it makes of files that are no model
            raise _model_error(error) from error

    def ask(self, request: Request) -> Outputs:
        """Answers one request."""
        import numpy as np

        tf = self._tf
        if "pixels" in request:
            pixels = np.frombuffer(Path(request["pixels"]).read_bytes(), np.uint8)
            given = tf.constant(pixels.reshape(request["shape"]))
        else:
            given = tf.constant(_batch(request), tf.string)
        try:
            answer = self._module.signatures[request["signature"]](**{request["input"]: given})
            arrays = {key: value.numpy() for key, value in answer.items()}
        except Exception as error:
            raise _model_error(error) from error
        return {key: _as_rows(array) for key, array in arrays.items()}


def _as_rows(array: Any) -> list[list[Any]]:
    rows = [each.reshape(-1).tolist() for each in array]
    return [[_text(v) if isinstance(v, bytes) else v for v in row] for row in rows]


def _model_error(error: Exception) -> ModelError:
    message = getattr(error, "message", None) or f"{type(error).__name__}: {error}"
    return ModelError(str(message), getattr(error, "error_code", None))


def _text(value: bytes) -> str:
    return value.decode("utf-8", errors="backslashreplace")


def _batch(request: Request) -> list[bytes]:
    return [Path(file).read_bytes() for file in request["files"]]


Model = SessionModel | PythonModel
_LOADERS: dict[str, type[SessionModel] | type[PythonModel]] = {
    "session": SessionModel,
    "python": PythonModel,
}


def _load(asked: Request, what: str) -> tuple[Model, float]:
    print(what, flush=True)
    started = time.perf_counter()
    return _LOADERS[asked["loader"]](asked), time.perf_counter() - started


def _answers(model: Model, requests: list[Request]) -> dict[str, Any]:
    answers: dict[str, Any] = {}
    for request in requests:
        print(f"answering the request '{request['name']}'", flush=True)
        try:
            answers[request["name"]] = {"outputs": model.ask(request)}
        except ModelError as error:
            answers[request["name"]] = {"error": str(error), "code": error.code}
    return answers


def _latencies(model: Model, asked: Request) -> list[float]:
    """Returns milliseconds of answers to the same request, after some that do not count."""
    request = next(each for each in asked["requests"] if each["name"] == asked["timed"])
    print(f"answering the request '{request['name']}' again and again", flush=True)
    found: list[float] = []
    until = time.perf_counter() + asked["timed_seconds"]
    for number in range(_WARM_UPS + asked["repeats"]):
        started = time.perf_counter()
        model.ask(request)
        if number >= _WARM_UPS:
            found.append(1e3 * (time.perf_counter() - started))
        if found and time.perf_counter() > until:
            break
    return found


def _memory_mb() -> float:
    """Returns the most resident memory so far; what getrusage says begins with the parent's."""
    for line in Path("/proc/self/status").read_text(encoding="ascii").splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) * 1024 / 1e6
    return math.nan


def _examine(asked: Request) -> dict[str, Any]:
    try:
        model, seconds = _load(asked, "loading the model")
        answers = _answers(model, asked["requests"])
        latencies = []
        if "outputs" in answers[asked["timed"]]:
            latencies = _latencies(model, asked)
        memory = _memory_mb()
        second, again_seconds = _load(asked, "loading the model a second time")
    except ModelError as error:
        return {"error": str(error), "code": error.code}
    again = [request for request in asked["requests"] if request["name"] in asked["again"]]
    return {
        "answers": answers,
        "again": _answers(second, again),
        "load_seconds": [seconds, again_seconds],
        "memory_mb": [memory, _memory_mb()],
        "latency_ms": latencies,
    }


def main(request: str, answer: str) -> None:
    """Examines a model as a request says."""
    ctypes.CDLL(None).prctl(_DIE_WITH_PARENT, signal.SIGKILL)
    asked = json.loads(Path(request).read_text(encoding="utf-8"))
    if asked["loader"] == "python":
        print("importing TensorFlow", flush=True)
        import tensorflow  # noqa: F401  # its import is not part of loading
    Path(answer).write_text(json.dumps(_examine(asked)), encoding="utf-8")


if __name__ == "__main__":
    main(*sys.argv[1:])
