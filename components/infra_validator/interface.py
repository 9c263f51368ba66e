"""The signatures that clients rely on, and those that an exported model has."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from components.contracts import signatures
from components.contracts.files import SAVED_MODEL_FILE
from components.contracts.serving_check import ServingTest
from components.contracts.signatures import ModelDescription

_SERVE_TAG = "serve"
_TYPE = "DT_"
_OF_TENSORFLOW = "__"
_ANY = -1
_REMEDY = (
    "Clients ask the signatures by these names, types and shapes; export the model with "
    "components/trainer/export.py."
)


@dataclasses.dataclass(frozen=True)
class Tensor:
    """A tensor of a signature.

    Attributes:
        dtype: as SavedModels name it, such as "float" or "int64".
        shape: -1 is any size; None is any rank.
        name: in the graph, such as `serving_default_image_bytes:0`; not compared.
    """

    dtype: str
    shape: tuple[int, ...] | None
    name: str = dataclasses.field(default="", compare=False)

    def __str__(self) -> str:
        if self.shape is None:
            return f"{self.dtype} of any shape"
        return f"{self.dtype} [{', '.join(map(_size, self.shape))}]"

    def fits(self, wanted: Tensor) -> bool:
        """Whether a client that relies on `wanted` gets it; unknown sizes are seen in answers."""
        if self.dtype != wanted.dtype:
            return False
        if self.shape is None:
            return True
        if wanted.shape is None or len(self.shape) != len(wanted.shape):
            return False
        sizes = zip(self.shape, wanted.shape, strict=True)
        return self.shape[0] == _ANY and all(_ANY in pair or len(set(pair)) == 1 for pair in sizes)


@dataclasses.dataclass(frozen=True)
class Signature:
    """Inputs and outputs by key."""

    inputs: Mapping[str, Tensor]
    outputs: Mapping[str, Tensor]

    def __str__(self) -> str:
        return f"{_listed(self.inputs)} to {_listed(self.outputs)}"


def expected_signatures(description: ModelDescription) -> dict[str, Signature]:
    """Returns what every exported model offers."""
    genres, side = len(description.genres), description.image_size
    batch, table = (_ANY,), (_ANY, genres)
    probabilities = {signatures.PROBABILITIES: Tensor("float", table)}
    return {
        signatures.SERVING_SIGNATURE: Signature(
            {signatures.IMAGE_BYTES: Tensor("string", batch)},
            {
                **probabilities,
                signatures.DECISIONS: Tensor("int64", table),
                signatures.GENRES: Tensor("string", table),
            },
        ),
        signatures.EXAMPLES_SIGNATURE: Signature(
            {signatures.EXAMPLES: Tensor("string", batch)},
            {**probabilities, signatures.DECISIONS: Tensor("float", table)},
        ),
        signatures.PIXELS_SIGNATURE: Signature(
            {signatures.PIXELS: Tensor("uint8", (_ANY, side, side, 3))}, probabilities
        ),
    }


def read_signatures(model: Path) -> dict[str, Signature]:
    """Reads the signatures of a SavedModel from its file, without loading it.

    Raises:
        ValueError: the file is not that of a model for serving.
    """
    from google.protobuf.message import DecodeError
    from tensorflow.core.framework import types_pb2
    from tensorflow.core.protobuf import saved_model_pb2

    def tensors(infos: Mapping[str, Any]) -> dict[str, Tensor]:
        return {
            key: Tensor(
                types_pb2.DataType.Name(info.dtype).removeprefix(_TYPE).lower(),
                None
                if info.tensor_shape.unknown_rank
                else tuple(dimension.size for dimension in info.tensor_shape.dim),
                info.name,
            )
            for key, info in sorted(infos.items())
        }

    try:
        saved = saved_model_pb2.SavedModel.FromString((model / SAVED_MODEL_FILE).read_bytes())
    except (OSError, DecodeError) as error:
        raise ValueError(f"{SAVED_MODEL_FILE} that cannot be read ({error})") from error
    for graph in saved.meta_graphs:
        if _SERVE_TAG in graph.meta_info_def.tags:
            return {
                name: Signature(tensors(found.inputs), tensors(found.outputs))
                for name, found in graph.signature_def.items()
                if not name.startswith(_OF_TENSORFLOW)
            }
    raise ValueError(f"{SAVED_MODEL_FILE} without a graph that has the tag '{_SERVE_TAG}'")


def check_signatures(
    found: Mapping[str, Signature], description: ModelDescription
) -> Iterator[ServingTest]:
    """Yields, for each signature that clients rely on, whether the model has it."""
    for name, wanted in expected_signatures(description).items():
        has = found.get(name)
        got = f"{has}" if has else f"no such signature, but {', '.join(sorted(found)) or 'none'}"
        passed = has is not None and _fits(has, wanted)
        yield ServingTest(
            f"signature {name}", "", str(wanted), got, passed, remedy="" if passed else _REMEDY
        )


def _fits(has: Signature, wanted: Signature) -> bool:
    return set(has.inputs) == set(wanted.inputs) and all(
        key in found and found[key].fits(tensor)
        for found, needed in ((has.inputs, wanted.inputs), (has.outputs, wanted.outputs))
        for key, tensor in needed.items()
    )


def _listed(tensors: Mapping[str, Tensor]) -> str:
    return ", ".join(f"{key} {tensor}" for key, tensor in sorted(tensors.items()))


def _size(size: int) -> str:
    return "n" if size == _ANY else str(size)
