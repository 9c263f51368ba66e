"""A pushed model behind KServe's Python server: the v1 and the v2 protocol.

    python kserve_model.py MODEL_DIR --http_port=8501 --enable_grpc=false

Needs `kserve` and `tensorflow` in an environment of their own. In both protocols an image is
base64; v2 gives it as BYTES, which JSON holds as text.
"""

from __future__ import annotations

import base64
import sys
from typing import Any

import kserve
import tensorflow as tf
from kserve import InferOutput, InferRequest, InferResponse

_TYPES = {"probabilities": "FP32", "decisions": "INT64", "genres": "BYTES"}


class Covers(kserve.Model):  # type: ignore[misc]
    """The signature `serving_default` of a SavedModel.

    Args:
        name: the model's name in URLs.
        folder: the SavedModel.
    """

    def __init__(self, name: str, folder: str) -> None:
        super().__init__(name)
        self._module = tf.saved_model.load(folder)  # owns what the signature uses
        self._answer = self._module.signatures["serving_default"]
        self.ready = True

    def predict(self, payload: Any, headers: Any = None) -> Any:
        """Answers a request of either protocol."""
        is_v2 = isinstance(payload, InferRequest)
        given = payload.inputs[0].data if is_v2 else [each["b64"] for each in payload["instances"]]
        covers = tf.constant([base64.b64decode(each) for each in given])
        found = {key: value.numpy() for key, value in self._answer(image_bytes=covers).items()}
        found["genres"] = found["genres"].astype(str)
        if not is_v2:
            rows = zip(*(value.tolist() for value in found.values()), strict=True)
            return {"predictions": [dict(zip(found, row, strict=True)) for row in rows]}
        outputs = [
            InferOutput(key, list(found[key].shape), kind, found[key].flatten().tolist())
            for key, kind in _TYPES.items()
        ]
        return InferResponse(payload.id or "", self.name, outputs)


if __name__ == "__main__":
    model = Covers("covers", sys.argv.pop(1))
    kserve.ModelServer().start([model])
