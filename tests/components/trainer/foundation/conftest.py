from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf

from components.contracts.signatures import PROBABILITIES, SERVING_SIGNATURE
from components.trainer.config import TrainerConfig
from components.trainer.export import export_model
from components.trainer.model import build_model
from components.trainer.thresholds import DecisionRule
from tests.serving.session import answers_in_session

_GENRES = ("jazz", "rock")


@pytest.fixture
def export_and_ask(tmp_path: Path) -> Callable[[dict[str, Any], np.ndarray], np.ndarray]:
    """Returns a function that exports a network and asks it as servers do, in another process.

    What TensorFlow Serving's loader and Python's answer is compared with the network itself.
    """

    def ask(backbone: dict[str, Any], images: np.ndarray) -> np.ndarray:
        config = TrainerConfig.from_fields({"backbone": backbone, "image_size": images.shape[1]})
        network = build_model(config, len(_GENRES)).network
        expected = np.asarray(network(images, training=False))
        assert np.std(expected, axis=0).min() > 1e-4  # Otherwise any answer would do.
        folder = tmp_path / "exported"
        rule = DecisionRule(np.float32([0.5, 0.5]), at_least_one_genre=True)
        export_model(network, _GENRES, rule, "recipe", folder)
        encoded = [tf.io.encode_png(image).numpy() for image in images]
        signature = tf.saved_model.load(str(folder)).signatures[SERVING_SIGNATURE]
        found = signature(image_bytes=tf.constant(encoded))[PROBABILITIES]
        np.testing.assert_allclose(found, expected, atol=1e-5)
        files = [tmp_path / f"{number}.png" for number in range(len(images))]
        for file, content in zip(files, encoded, strict=True):
            file.write_bytes(content)
        by_session = answers_in_session(folder, files, tmp_path / "process")
        np.testing.assert_allclose(by_session[PROBABILITIES], expected, atol=1e-5)
        return expected

    return ask
