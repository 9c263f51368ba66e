"""ONNX and TensorFlow Lite: how a SavedModel is converted, and how the result is asked."""

from __future__ import annotations

import importlib.util
import json
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from components.contracts.signatures import (
    NETWORK_FUNCTION,
    PIXELS,
    PIXELS_SIGNATURE,
    PROBABILITIES,
    ModelDescription,
)
from components.support.errors import ConfigError, CoversError, DeploymentError
from components.support.texts import shortened

_OPSET = 17  # what ONNX Runtime 1.12 and later, and most other runtimes, understand
_ONNX_PACKAGES = ("tf2onnx", "onnx", "onnxruntime")

Answer = Callable[[np.ndarray], np.ndarray]
"""From pixels, uint8 (batch, side, side, 3), to probabilities, float32 (batch, genres)."""


class Format(Protocol):
    """A format of models.

    Attributes:
        suffix: ending of its files.
        runtime: what the result is asked with, for people.
    """

    suffix: str
    runtime: str

    def check(self) -> None:
        """Raises ConfigError if packages are missing."""

    def convert(self, module: Any, network: Any, facts: Mapping[str, Any], output: Path) -> None:
        """Writes a network, a tf.function whose variables the module owns, and facts about it."""

    def load(self, model: Path) -> Answer:
        """Returns a function that asks the model."""


class Onnx:
    """ONNX, by tf2onnx; the facts are metadata properties of the file."""

    suffix = ".onnx"
    runtime = "ONNX Runtime"

    def check(self) -> None:
        missing = [name for name in _ONNX_PACKAGES if importlib.util.find_spec(name) is None]
        if missing:
            raise ConfigError(
                f"Expected the packages {', '.join(_ONNX_PACKAGES)}. Received: no "
                f"{', '.join(missing)}. Install them: pip install 'covers[onnx]'."
            )

    def convert(self, module: Any, network: Any, facts: Mapping[str, Any], output: Path) -> None:
        import onnx
        import tf2onnx

        model, _ = tf2onnx.convert.from_function(
            network, input_signature=network.input_signature, opset=_OPSET
        )
        model.producer_name = "covers"
        texts = {
            name: value if isinstance(value, str) else json.dumps(value)
            for name, value in facts.items()
        }
        onnx.helper.set_model_props(model, texts)
        onnx.checker.check_model(model)
        onnx.save(model, str(output))

    def load(self, model: Path) -> Answer:
        import onnxruntime

        session = onnxruntime.InferenceSession(str(model), providers=["CPUExecutionProvider"])
        return lambda pixels: session.run([PROBABILITIES], {PIXELS: pixels})[0]


class TFLite:
    """TensorFlow Lite, by TensorFlow itself; the facts are only in the file beside the model."""

    suffix = ".tflite"
    runtime = "TensorFlow Lite"

    def check(self) -> None:
        pass

    def convert(self, module: Any, network: Any, facts: Mapping[str, Any], output: Path) -> None:
        import tensorflow as tf

        concrete = network.get_concrete_function()
        converter = tf.lite.TFLiteConverter.from_concrete_functions([concrete], module)
        output.write_bytes(converter.convert())

    def load(self, model: Path) -> Answer:
        import tensorflow as tf

        interpreter = tf.lite.Interpreter(
            model_path=str(model), num_threads=len(os.sched_getaffinity(0))
        )
        ask = interpreter.get_signature_runner()
        return lambda pixels: ask(**{PIXELS: pixels})[PROBABILITIES]


FORMATS: Mapping[str, Format] = {"onnx": Onnx(), "tflite": TFLite()}


def convert(
    name: str, model_dir: Path, description: ModelDescription, facts: Mapping[str, Any], file: Path
) -> Answer:
    """Converts a SavedModel that is known to be whole.

    Args:
        name: one of `FORMATS`.
        model_dir: the SavedModel.
        description: its description.
        facts: what travels with the model, ready for JSON.
        file: where to write.

    Returns:
        The network in TensorFlow, as an `Answer`.

    Raises:
        DeploymentError: the model has no signature for pixels, or the format cannot express it.
    """
    import tensorflow as tf

    side = description.image_size
    module = tf.saved_model.load(str(model_dir))
    if PIXELS_SIGNATURE not in module.signatures or not hasattr(module, NETWORK_FUNCTION):
        raise DeploymentError(
            f"Expected a model with the signature {PIXELS_SIGNATURE} in {model_dir}. Received: one "
            "that takes only encoded covers, as earlier versions of this project exported it. "
            "Train and push it again with `covers run --no-cache`."
        )
    answer = getattr(module, NETWORK_FUNCTION)
    network = tf.function(
        lambda pixels: {PROBABILITIES: answer(pixels)},
        input_signature=[tf.TensorSpec([None, side, side, 3], tf.uint8, name=PIXELS)],
        autograph=False,
    )
    try:
        FORMATS[name].convert(module, network, facts, file)
    except (CoversError, OSError, MemoryError):
        raise
    except Exception as error:  # whatever a converter says of a graph that it cannot express
        first, *_ = str(error).strip().splitlines() or ["no message"]
        received = shortened(f"{type(error).__name__}, {first}")
        raise DeploymentError(
            f"Expected a model in {model_dir} whose operations {name} has. Received: {received}. "
            "Take the other format, or another network."
        ) from error

    def ask(pixels: np.ndarray) -> np.ndarray:
        assert module is not None  # owns what the function uses, and must live as long
        probabilities: np.ndarray = network(tf.constant(pixels))[PROBABILITIES].numpy()
        return probabilities

    return ask
