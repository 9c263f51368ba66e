"""A SavedModel's signatures in the JSON form of TensorFlow Serving's metadata."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from components.contracts.files import SAVED_MODEL_FILE


def read_signatures(folder: Path) -> dict[str, Any]:
    """Returns signature -> its inputs, outputs and method, as SignatureDefMap's JSON has them.

    Args:
        folder: the folder of a SavedModel that could be loaded.
    """
    from tensorflow.core.protobuf import saved_model_pb2

    saved = saved_model_pb2.SavedModel.FromString((folder / SAVED_MODEL_FILE).read_bytes())
    (graph,) = saved.meta_graphs
    return {
        name: {
            "inputs": {key: _tensor(each) for key, each in sorted(signature.inputs.items())},
            "outputs": {key: _tensor(each) for key, each in sorted(signature.outputs.items())},
            "method_name": signature.method_name,
        }
        for name, signature in sorted(graph.signature_def.items())
    }


def _tensor(tensor: Any) -> dict[str, Any]:
    from tensorflow.core.framework import types_pb2

    shape = tensor.tensor_shape
    return {
        "dtype": types_pb2.DataType.Name(tensor.dtype),
        "tensor_shape": {
            # int64 is text in the JSON form of protocol buffers.
            "dim": [{"size": str(each.size), "name": each.name} for each in shape.dim],
            "unknown_rank": shape.unknown_rank,
        },
        "name": tensor.name,
    }
