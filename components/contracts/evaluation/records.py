"""Reads the result files of TFMA without importing TFMA or TensorFlow.

Importing TFMA takes 15 seconds, its result messages a few kilobytes. The messages below
are the parts of TFMA's `metrics_for_slice.proto` and `validation_result.proto` that the
evaluation uses: same field numbers and types, hence the same bytes. Unknown fields are
skipped.
"""

from __future__ import annotations

import functools
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from google.protobuf import descriptor_pb2, message_factory

from components.support.errors import CoversError

_PACKAGE = "covers.evaluation"

# Message -> field -> (number, type); a type ending in * is repeated.
_MESSAGES: dict[str, dict[str, tuple[int, str]]] = {
    "DoubleValue": {"value": (1, "double")},
    "Int32Value": {"value": (1, "int32")},
    "SubKey": {"class_id": (1, "Int32Value")},
    "MetricKey": {
        "name": (1, "string"),
        "model_name": (4, "string"),
        "sub_key": (3, "SubKey"),
        "is_diff": (5, "bool"),
    },
    "MetricValue": {"double_value": (1, "DoubleValue")},
    "SingleSliceKey": {"column": (1, "string"), "bytes_value": (2, "bytes")},
    "SliceKey": {"single_slice_keys": (1, "SingleSliceKey*")},
    "MetricKeyAndValue": {"key": (1, "MetricKey"), "value": (2, "MetricValue")},
    "MetricsForSlice": {
        "slice_key": (1, "SliceKey"),
        "metric_keys_and_values": (51, "MetricKeyAndValue*"),
    },
    "GenericValueThreshold": {
        "lower_bound": (1, "DoubleValue"),
        "upper_bound": (2, "DoubleValue"),
    },
    "GenericChangeThreshold": {"absolute": (1, "DoubleValue")},
    "MetricThreshold": {
        "value_threshold": (1, "GenericValueThreshold"),
        "change_threshold": (2, "GenericChangeThreshold"),
    },
    "ValidationFailure": {
        "metric_key": (1, "MetricKey"),
        "metric_threshold": (2, "MetricThreshold"),
        "metric_value": (3, "MetricValue"),
    },
    "MultiLabelConfusionMatrixEntry": {
        "actual_class_id": (1, "int32"),
        "predicted_class_id": (2, "int32"),
        "false_negatives": (3, "double"),
        "true_negatives": (4, "double"),
        "false_positives": (5, "double"),
        "true_positives": (6, "double"),
    },
    "MultiLabelConfusionMatrix": {"entries": (2, "MultiLabelConfusionMatrixEntry*")},
    "MultiLabelConfusionMatrixAtThresholds": {"matrices": (1, "MultiLabelConfusionMatrix*")},
    "PlotKey": {"model_name": (4, "string"), "name": (6, "string")},
    "PlotData": {
        "multi_label_confusion_matrix_at_thresholds": (
            5,
            "MultiLabelConfusionMatrixAtThresholds",
        )
    },
    "PlotKeyAndValue": {"key": (1, "PlotKey"), "value": (2, "PlotData")},
    "PlotsForSlice": {
        "slice_key": (1, "SliceKey"),
        "plot_keys_and_values": (8, "PlotKeyAndValue*"),
    },
    "MetricsValidationForSlice": {"failures": (3, "ValidationFailure*")},
    "ValidationResult": {
        "validation_ok": (1, "bool"),
        "metric_validations_per_slice": (2, "MetricsValidationForSlice*"),
    },
}

_SCALARS = {
    "bool": descriptor_pb2.FieldDescriptorProto.TYPE_BOOL,
    "bytes": descriptor_pb2.FieldDescriptorProto.TYPE_BYTES,
    "double": descriptor_pb2.FieldDescriptorProto.TYPE_DOUBLE,
    "int32": descriptor_pb2.FieldDescriptorProto.TYPE_INT32,
    "string": descriptor_pb2.FieldDescriptorProto.TYPE_STRING,
}


def read_metrics(directory: Path) -> list[Any]:
    """Returns the `MetricsForSlice` messages of an evaluation, one per slice."""
    return list(_read(directory, "metrics", "MetricsForSlice"))


def read_plots(directory: Path) -> list[Any]:
    """Returns the `PlotsForSlice` messages of an evaluation, one per slice."""
    return list(_read(directory, "plots", "PlotsForSlice"))


def read_validation(directory: Path) -> Any | None:
    """Returns the `ValidationResult` message of an evaluation; None if there is none."""
    return next(_read(directory, "validations", "ValidationResult"), None)


def _read(directory: Path, prefix: str, message: str) -> Iterator[Any]:
    for path in sorted(directory.glob(f"{prefix}*.tfrecord")):
        for record in _records(path):
            yield _message_class(message).FromString(record)


def _records(path: Path) -> Iterator[bytes]:
    """Yields the records of an uncompressed TFRecord file.

    Each is preceded by its length and a checksum of it, and followed by a checksum.

    Raises:
        CoversError: the file ends within a record.
    """
    with path.open("rb") as file:
        while header := file.read(12):
            length = struct.unpack("<Q", header[:8])[0] if len(header) == 12 else -1
            record = file.read(length) if length >= 0 else b""
            if len(record) != length or len(file.read(4)) != 4:
                raise CoversError(
                    f"Expected {path} to be a complete TFRecord file. Received: a file that "
                    "ends within a record. Run the evaluation again."
                )
            yield record


def _message_class(name: str) -> Any:
    return _message_classes()[f"{_PACKAGE}.{name}"]


@functools.cache
def _message_classes() -> dict[str, Any]:
    file = descriptor_pb2.FileDescriptorProto(
        name="covers/evaluation.proto", package=_PACKAGE, syntax="proto3"
    )
    for name, fields in _MESSAGES.items():
        message = file.message_type.add(name=name)
        for field_name, (number, field_type) in fields.items():
            message.field.append(_field(field_name, number, field_type))
    return message_factory.GetMessages([file])


def _field(name: str, number: int, field_type: str) -> descriptor_pb2.FieldDescriptorProto:
    base = field_type.removesuffix("*")
    field = descriptor_pb2.FieldDescriptorProto(name=name, number=number)
    field.label = field.LABEL_REPEATED if field_type.endswith("*") else field.LABEL_OPTIONAL
    if base in _SCALARS:
        field.type = _SCALARS[base]
    else:
        field.type, field.type_name = field.TYPE_MESSAGE, f".{_PACKAGE}.{base}"
    return field
