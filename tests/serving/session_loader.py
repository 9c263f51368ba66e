"""Queries a SavedModel through TensorFlow's C API, as TensorFlow Serving and KServe load it.

    python session_loader.py LIBRARY REQUEST ANSWER

LIBRARY is libtensorflow_cc of the Python package, opened by itself: TensorFlow's Python code,
whose loader finds variables that this one does not, is not imported. REQUEST is a JSON file with
`model`, the folder; `input` and `outputs`, names of tensors like `serving_default_image_bytes:0`;
and `files`, whose bytes are the batch. ANSWER receives the outputs as JSON lists of rows.
"""

from __future__ import annotations

import ctypes
import json
import sys
from ctypes import POINTER, byref, c_char_p, c_int, c_int64, c_size_t, c_void_p
from pathlib import Path
from typing import Any

_FLOAT, _STRING, _INT64 = 1, 7, 9
_STRING_BYTES = 24  # sizeof(TF_TString)


class _Port(ctypes.Structure):  # TF_Output
    _fields_ = (("operation", c_void_p), ("index", c_int))


class _Session:
    """A SavedModel loaded by TF_LoadSessionFromSavedModel."""

    def __init__(self, library: str, model: str) -> None:
        self._tf = tf = ctypes.CDLL(library)
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
        for name in ("TF_Dim", "TF_TensorByteSize", "TF_StringGetSize"):
            getattr(tf, name).restype = c_size_t
        tf.TF_Message.restype = c_char_p
        self._status = c_void_p(tf.TF_NewStatus())
        self._graph = c_void_p(tf.TF_NewGraph())
        tags = (c_char_p * 1)(b"serve")
        options = c_void_p(tf.TF_NewSessionOptions())
        self._session = c_void_p(
            tf.TF_LoadSessionFromSavedModel(
                options, None, model.encode(), tags, 1, self._graph, None, self._status
            )
        )
        self._check()

    def run(self, name: str, batch: list[bytes], outputs: list[str]) -> list[list[list[Any]]]:
        tf, fetched = self._tf, (c_void_p * len(outputs))()
        fed = (c_void_p * 1)(self._strings(batch))
        tf.TF_SessionRun(
            self._session,
            None,
            byref(self._port(name)),
            fed,
            1,
            (_Port * len(outputs))(*map(self._port, outputs)),
            fetched,
            len(outputs),
            None,
            0,
            None,
            self._status,
        )
        self._check()
        return [self._rows(c_void_p(tensor)) for tensor in fetched]

    def _port(self, name: str) -> _Port:
        operation, _, index = name.partition(":")
        found = self._tf.TF_GraphOperationByName(self._graph, operation.encode())
        assert found, f"the graph has no operation {operation}"
        return _Port(found, int(index))

    def _strings(self, values: list[bytes]) -> int:
        tf, size = self._tf, _STRING_BYTES * len(values)
        shape = (c_int64 * 1)(len(values))
        tensor: int = tf.TF_AllocateTensor(_STRING, shape, 1, c_size_t(size))
        data = tf.TF_TensorData(c_void_p(tensor))
        for place, value in enumerate(values):
            string = c_void_p(data + _STRING_BYTES * place)
            tf.TF_StringInit(string)
            tf.TF_StringCopy(string, value, c_size_t(len(value)))
        return tensor

    def _rows(self, tensor: c_void_p) -> list[list[Any]]:
        tf = self._tf
        rows, columns = (tf.TF_Dim(tensor, axis) for axis in range(2))
        data, kind = tf.TF_TensorData(tensor), tf.TF_TensorType(tensor)
        values: list[Any]
        if kind == _STRING:
            strings = [c_void_p(data + _STRING_BYTES * i) for i in range(rows * columns)]
            values = [
                ctypes.string_at(
                    tf.TF_StringGetDataPointer(each), tf.TF_StringGetSize(each)
                ).decode()
                for each in strings
            ]
        else:
            ctype = {_FLOAT: ctypes.c_float, _INT64: c_int64}[kind]
            values = list(ctypes.cast(data, POINTER(ctype))[: rows * columns])
        return [values[row * columns : (row + 1) * columns] for row in range(rows)]

    def _check(self) -> None:
        if self._tf.TF_GetCode(self._status):
            sys.exit(f"TensorFlow: {self._tf.TF_Message(self._status).decode()}")


def main(library: str, request: str, answer: str) -> None:
    """Loads the model once and answers one request."""
    asked = json.loads(Path(request).read_text(encoding="utf-8"))
    batch = [Path(file).read_bytes() for file in asked["files"]]
    found = _Session(library, asked["model"]).run(asked["input"], batch, asked["outputs"])
    Path(answer).write_text(json.dumps(found), encoding="utf-8")


if __name__ == "__main__":
    main(*sys.argv[1:])
