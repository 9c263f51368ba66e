"""Loads a logged model for `mlflow.pyfunc`: MLflow keeps this file with the model.

It needs TensorFlow, and nothing of this project.
"""

from __future__ import annotations

from typing import Any


class CoversModel:
    """A SavedModel that takes the bytes of image files.

    Args:
        folder: of the SavedModel.
    """

    def __init__(self, folder: str) -> None:
        import tensorflow as tf

        self._loaded = tf.saved_model.load(folder)
        self._signature = self._loaded.signatures["serving_default"]

    def predict(self, model_input: Any, params: Any = None) -> Any:
        """Returns a data frame with `probabilities` and `decisions` in the order of the genres.

        Args:
            model_input: a data frame whose column `image_bytes` holds files.
            params: none are known.
        """
        import pandas as pd
        import tensorflow as tf

        files = tf.constant(list(model_input["image_bytes"]), tf.string)
        answers = self._signature(image_bytes=files)
        return pd.DataFrame(
            {
                "probabilities": answers["probabilities"].numpy().astype(float).tolist(),
                "decisions": answers["decisions"].numpy().astype(bool).tolist(),
            }
        )


def _load_pyfunc(path: str) -> CoversModel:
    return CoversModel(path)
