"""Requests that TensorFlow Serving answers by itself before it serves a model to others."""

from __future__ import annotations

from pathlib import Path

import tensorflow as tf
from tensorflow_serving.apis import predict_pb2, prediction_log_pb2

from components.contracts.signatures import IMAGE_BYTES, SERVING_SIGNATURE

WARMUP_FILE = "assets.extra/tf_serving_warmup_requests"
_BATCH_SIZES = (1, 8)


def write_warmup_requests(model_dir: Path | str, image_size: int) -> None:
    """Writes one request per batch size, for grey covers, where TensorFlow Serving looks for them.

    Args:
        model_dir: folder of the SavedModel.
        image_size: side of the covers, in pixels.
    """
    cover = tf.io.encode_jpeg(tf.fill([image_size, image_size, 3], tf.constant(127, tf.uint8)))
    path = Path(model_dir) / WARMUP_FILE
    path.parent.mkdir(parents=True, exist_ok=True)
    with tf.io.TFRecordWriter(str(path)) as writer:
        for count in _BATCH_SIZES:
            request = predict_pb2.PredictRequest()
            request.model_spec.signature_name = SERVING_SIGNATURE
            request.inputs[IMAGE_BYTES].CopyFrom(tf.make_tensor_proto([cover.numpy()] * count))
            log = prediction_log_pb2.PredictionLog()
            log.predict_log.request.CopyFrom(request)
            writer.write(log.SerializeToString())
