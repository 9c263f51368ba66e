from __future__ import annotations

from pathlib import Path

import pytest
import tensorflow as tf
from tensorflow_model_analysis.proto import (
    config_pb2,
    metrics_for_slice_pb2,
    validation_result_pb2,
)

from components.contracts.evaluation import records
from components.support.errors import CoversError


def find_descriptor(name: str):  # type: ignore[no-untyped-def]
    """Returns TFMA's, or protobuf's, descriptor of a message."""
    wrappers = metrics_for_slice_pb2.DESCRIPTOR.dependencies[0]
    files = [config_pb2, metrics_for_slice_pb2, validation_result_pb2]
    for file in [wrappers, *(module.DESCRIPTOR for module in files)]:
        if name in file.message_types_by_name:
            return file.message_types_by_name[name]
    outer = ("MetricsForSlice", "PlotsForSlice", "MultiLabelConfusionMatrixAtThresholds")
    for message in outer:
        nested = getattr(metrics_for_slice_pb2, message).DESCRIPTOR.nested_types_by_name
        if name in nested:
            return nested[name]
    raise KeyError(name)


@pytest.mark.parametrize("name", sorted(records._MESSAGES))
def test_fields_are_those_of_tfma(name: str) -> None:
    theirs = find_descriptor(name).fields_by_name
    ours = records._message_class(name).DESCRIPTOR.fields_by_name
    for field_name, field in ours.items():
        other = theirs[field_name]
        assert (field.number, field.type, field.label) == (other.number, other.type, other.label)
        if field.message_type is not None:
            assert field.message_type.name == other.message_type.name


def test_a_validation_written_by_tfma_is_read(tmp_path: Path) -> None:
    assert records.read_validation(tmp_path) is None
    result = validation_result_pb2.ValidationResult(validation_ok=True, rubber_stamp=True)
    failures = result.metric_validations_per_slice.add().failures
    failures.add().metric_threshold.value_threshold.lower_bound.value = 0.0
    with tf.io.TFRecordWriter(str(tmp_path / "validations.tfrecord")) as writer:
        writer.write(result.SerializeToString())

    read = records.read_validation(tmp_path)
    assert read is not None
    assert read.validation_ok
    threshold = read.metric_validations_per_slice[0].failures[0].metric_threshold
    assert threshold.value_threshold.HasField("lower_bound")
    assert not threshold.value_threshold.HasField("upper_bound")
    assert not threshold.HasField("change_threshold")


@pytest.mark.parametrize("lost", [1, 4, 9, 20])
def test_a_file_cut_short_is_refused(tmp_path: Path, lost: int) -> None:
    path = tmp_path / "metrics-00000-of-00001.tfrecord"
    message = metrics_for_slice_pb2.MetricsForSlice()
    message.metric_keys_and_values.add().key.name = "hamming_loss"
    with tf.io.TFRecordWriter(str(path)) as writer:
        writer.write(message.SerializeToString())
    assert len(records.read_metrics(tmp_path)) == 1

    path.write_bytes(path.read_bytes()[:-lost])
    with pytest.raises(CoversError, match="complete TFRecord file"):
        records.read_metrics(tmp_path)
