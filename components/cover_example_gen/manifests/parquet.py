"""Reads Parquet, with paths of images or with the images themselves.

Images are binary values, or structs of `bytes` and `path` as data sets of Hugging Face have them
(https://huggingface.co/docs/datasets/image_dataset). Class labels are numbers there, whose names
are in the file's metadata.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from components.cover_example_gen.manifests.kinds import (
    EmbeddedImage,
    ManifestKind,
    Recognise,
    Record,
    Table,
)
from components.support.errors import DataError
from components.support.texts import shortened

if TYPE_CHECKING:
    import pyarrow as pa

_RECORDS_AT_ONCE = 256
_HUGGING_FACE = b"huggingface"


def open_manifest(manifest: Path, recognise: Recognise) -> Table:
    """Opens a Parquet file.

    Raises:
        DataError: the file is not Parquet.
    """
    del recognise
    import pyarrow as pa
    import pyarrow_hotfix  # noqa: F401  # older pyarrow runs code that a file holds (CVE-2023-47248)
    from pyarrow import parquet

    unreadable = (OSError, RuntimeError, ValueError, TypeError, OverflowError, pa.ArrowException)
    try:
        schema = parquet.read_schema(manifest)
    except unreadable as error:
        raise _unreadable(manifest, error) from error
    class_names = _class_names(schema)

    def read(positions: Sequence[int]) -> Iterator[Record]:
        names = [schema.names[at] for at in positions]
        number = 0
        try:
            with parquet.ParquetFile(manifest, pre_buffer=False) as file:
                for batch in file.iter_batches(
                    _RECORDS_AT_ONCE, columns=list(dict.fromkeys(names)), use_threads=False
                ):
                    columns = [batch.column(name).to_pylist() for name in names]
                    for values in zip(*columns, strict=True):
                        number += 1
                        named = zip(names, values, strict=True)
                        yield Record(
                            number,
                            tuple(_value(value, class_names.get(name)) for name, value in named),
                        )
        except unreadable as error:
            raise _unreadable(manifest, error) from error

    return Table(tuple(schema.names), read)


def _value(value: Any, class_names: Sequence[str] | None) -> Any:
    if isinstance(value, bytes):
        return EmbeddedImage("", value)
    if isinstance(value, dict) and "bytes" in value:
        encoded, name = value["bytes"], value.get("path") or ""
        return name if encoded is None else EmbeddedImage(name, encoded)
    if class_names:
        if isinstance(value, list):
            return [_class_name(each, class_names) for each in value]
        return _class_name(value, class_names)
    return value


def _class_name(value: Any, names: Sequence[str]) -> Any:
    if isinstance(value, int) and 0 <= value < len(names):
        return names[value]
    return None if value == -1 else value  # -1 is "no label" there


def _class_names(schema: pa.Schema) -> Mapping[str, Sequence[str]]:
    """Returns column -> names of its class labels."""
    try:
        metadata = json.loads((schema.metadata or {}).get(_HUGGING_FACE, b"{}"))
        features = metadata["info"]["features"].items()
    except (ValueError, KeyError, TypeError, AttributeError):
        return {}
    return {name: found for name, feature in features if (found := _label_names(feature))}


def _label_names(feature: Any) -> list[str] | None:
    if isinstance(feature, list):
        return _label_names(feature[0]) if feature else None
    if not isinstance(feature, dict):
        return None
    names = feature.get("names")
    return names if isinstance(names, list) else _label_names(feature.get("feature"))


def _unreadable(manifest: Path, error: Exception) -> DataError:
    first, *_ = str(error).splitlines() or [type(error).__name__]
    return DataError(f"Expected {manifest} to be a Parquet file. Received: {shortened(first)}")


KIND = ManifestKind((".parquet",), "a Parquet file", open_manifest)
