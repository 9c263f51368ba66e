"""What TensorFlow Serving asks a model before it serves it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import tensorflow as tf
from tensorflow_serving.apis import prediction_log_pb2

from components.trainer.preprocessing import decode_and_resize
from components.trainer.warmup import WARMUP_FILE, write_warmup_requests


def test_the_requests_are_a_log_of_whole_covers_for_the_serving_signature(tmp_path: Path) -> None:
    write_warmup_requests(tmp_path, 48)
    assert WARMUP_FILE == "assets.extra/tf_serving_warmup_requests"  # what the server looks for
    counts = []
    for record in tf.data.TFRecordDataset(str(tmp_path / WARMUP_FILE)):
        log = prediction_log_pb2.PredictionLog.FromString(record.numpy())
        assert log.WhichOneof("log_type") == "predict_log"
        request = log.predict_log.request
        assert request.model_spec.signature_name == "serving_default"
        assert list(request.inputs) == ["image_bytes"]
        covers = tf.make_ndarray(request.inputs["image_bytes"])
        counts.append(len(covers))
        pixels = decode_and_resize(tf.constant(covers[0]), 48)
        assert np.abs(pixels.numpy().astype(int) - 127).max() <= 1
    assert counts == [1, 8]
