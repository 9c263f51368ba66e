"""Writes the trained network as a SavedModel that takes encoded covers."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras
import tensorflow as tf

from components.contracts import label_schema, signatures
from components.contracts.backgrounds import DEFAULT_BACKGROUND
from components.contracts.saved_models import file_digests
from components.trainer.embedding import split_at_embedding
from components.trainer.foundation.encoder import function_resources
from components.trainer.preprocessing import decode_and_resize_batch
from components.trainer.thresholds import DecisionRule
from components.trainer.warmup import write_warmup_requests


class ServingModule(tf.Module):
    """The network with its preprocessing, thresholds and genre names.

    Args:
        network: float32 (batch, image_size, image_size, 3) to probabilities (batch, genres);
            without augmentation or optimizer.
        genres: genre names in the order of the outputs.
        rule: how probabilities become decisions.
    """

    def __init__(self, network: keras.Model, genres: tuple[str, ...], rule: DecisionRule) -> None:
        super().__init__(name="covers")
        # A tf.Module does not see the variables of a Keras 3 model. The loader of TensorFlow
        # Serving finds by their tracked names what TensorFlow's Python loader finds without.
        self.network_variables = [variable.value for variable in network.variables]
        self.network_resources = function_resources(network)
        self.image_size = network.input_shape[1]
        pixels = [tf.TensorSpec([None, self.image_size, self.image_size, 3], tf.uint8)]
        # All signatures call these, so that the network is traced and written only once. It is not
        # an attribute itself: its layers would be written, too, and nothing reads them. The name of
        # `answer` is `signatures.NETWORK_FUNCTION`, by which converters find it.
        self.embed, self.judge, self.answer = _functions(network, pixels)
        self.probabilities = tf.function(
            lambda covers: _answer_even_none(self.answer, covers),
            input_signature=pixels,
            autograph=False,
        )
        self.genres = tf.constant(genres)
        self.thresholds = tf.Variable(
            rule.thresholds, trainable=False, dtype=tf.float32, name="thresholds"
        )
        self.at_least_one_genre = rule.at_least_one_genre

    @tf.function(input_signature=[tf.TensorSpec([None], tf.string, name=signatures.IMAGE_BYTES)])
    def serve_images(self, image_bytes: tf.Tensor) -> dict[str, tf.Tensor]:
        """For clients: encoded covers, tf.string (batch,), to a prediction per genre.

        Returns:
            `probabilities` float32, `decisions` int64 0 or 1, and `genres` tf.string, the name
            of each output; all of shape (batch, genres).
        """
        probabilities = self.probabilities(decode_and_resize_batch(image_bytes, self.image_size))
        return {
            signatures.PROBABILITIES: probabilities,
            signatures.DECISIONS: tf.cast(self._decisions(probabilities), tf.int64),
            signatures.GENRES: tf.broadcast_to(self.genres, tf.shape(probabilities)),
        }

    @tf.function(input_signature=[tf.TensorSpec([None], tf.string, name=signatures.EXAMPLES)])
    def serve_examples(self, examples: tf.Tensor) -> dict[str, tf.Tensor]:
        """For evaluation: serialized tf.Examples, tf.string (batch,).

        Returns:
            `probabilities` and `decisions`, float32, shape (batch, genres); and `embeddings`,
            float32, shape (batch, n), where the network has them.
        """
        spec = {label_schema.IMAGE_ENCODED: tf.io.FixedLenFeature((), tf.string)}
        features = tf.io.parse_example(examples, spec)
        encoded = features[label_schema.IMAGE_ENCODED]
        covers = decode_and_resize_batch(encoded, self.image_size)
        outputs = {}
        if self.embed is None:
            probabilities = self.probabilities(covers)
        else:
            outputs[signatures.EMBEDDINGS] = _answer_even_none(self.embed, covers)
            probabilities = self.judge(outputs[signatures.EMBEDDINGS])
        outputs[signatures.PROBABILITIES] = probabilities
        outputs[signatures.DECISIONS] = tf.cast(self._decisions(probabilities), tf.float32)
        return outputs

    def serve_embeddings(self, image_bytes: tf.Tensor) -> dict[str, tf.Tensor]:
        """For clients that compare covers: encoded covers, tf.string (batch,).

        Returns:
            `embeddings`, float32, shape (batch, n): what the last layer sees of each.
        """
        covers = decode_and_resize_batch(image_bytes, self.image_size)
        return {signatures.EMBEDDINGS: _answer_even_none(self.embed, covers)}

    def serve_pixels(self, pixels: tf.Tensor) -> dict[str, tf.Tensor]:
        """For clients and runtimes that decode themselves: uint8, (batch, side, side, 3).

        The values are those that `decode_and_resize` would give; side is `image_size`.

        Returns:
            `probabilities`, float32, shape (batch, genres).
        """
        return {signatures.PROBABILITIES: self.probabilities(pixels)}

    def _decisions(self, probabilities: tf.Tensor) -> tf.Tensor:
        """What `DecisionRule.decide` does, in TensorFlow."""
        decisions = probabilities >= self.thresholds
        if not self.at_least_one_genre:
            return decisions
        closest = tf.argmax(probabilities - self.thresholds, axis=1)
        return decisions | tf.one_hot(closest, len(self.genres), on_value=True, off_value=False)


def _functions(network: keras.Model, pixels: list[tf.TensorSpec]) -> tuple[Any, Any, Any]:
    """Returns covers to embeddings, these to probabilities, and both together.

    The first two are None where the network has no embeddings; see `split_at_embedding`.
    """

    def traced(function: Callable[[tf.Tensor], tf.Tensor], signature: list[tf.TensorSpec]) -> Any:
        return tf.function(function, input_signature=signature, autograph=False)

    parts = split_at_embedding(network)
    if parts is None:
        return None, None, traced(lambda covers: network(covers, training=False), pixels)
    first, last = parts
    embed = traced(lambda covers: first(covers, training=False), pixels)
    embedding = [tf.TensorSpec([None, first.output_shape[1]], tf.float32)]
    judge = traced(lambda embeddings: last(embeddings, training=False), embedding)
    return embed, judge, traced(lambda covers: judge(embed(covers)), pixels)


def _answer_even_none(answer: Callable[[tf.Tensor], tf.Tensor], pixels: tf.Tensor) -> tf.Tensor:
    """Applies the network; to a batch of none, too, whose convolutions fail in TensorFlow 2.16."""
    count = tf.shape(pixels)[0]
    blank = tf.zeros([tf.cast(tf.equal(count, 0), tf.int32), *pixels.shape[1:]], pixels.dtype)
    return answer(tf.concat([pixels, blank], axis=0))[:count]


def export_model(
    network: keras.Model,
    genres: tuple[str, ...],
    rule: DecisionRule,
    recipe: str,
    model_dir: Path | str,
    background: str = DEFAULT_BACKGROUND,
) -> None:
    """Saves the network with its signatures and its description.

    Args:
        network: see `ServingModule`.
        genres: genre names in the order of the outputs.
        rule: how probabilities become decisions.
        recipe: fingerprint of the code and configuration that made the model.
        model_dir: folder to write; it then serves, for instance, under TensorFlow Serving.
        background: colour onto which ingest put transparent covers.
    """
    module = ServingModule(network, genres, rule)
    pixels = tf.TensorSpec(
        module.probabilities.input_signature[0].shape, tf.uint8, name=signatures.PIXELS
    )
    served = {
        signatures.SERVING_SIGNATURE: module.serve_images,
        signatures.EXAMPLES_SIGNATURE: module.serve_examples,
        signatures.PIXELS_SIGNATURE: tf.function(module.serve_pixels, input_signature=[pixels]),
    }
    if module.embed is not None:
        encoded = tf.TensorSpec([None], tf.string, name=signatures.IMAGE_BYTES)
        served[signatures.EMBEDDINGS_SIGNATURE] = tf.function(
            module.serve_embeddings, input_signature=[encoded]
        )
    tf.saved_model.save(module, str(model_dir), signatures=served)
    description = signatures.ModelDescription(
        genres=genres,
        thresholds=tuple(float(threshold) for threshold in rule.thresholds),
        image_size=module.image_size,
        recipe=recipe,
        versions={"tensorflow": tf.__version__, "keras": keras.__version__},
        at_least_one_genre=rule.at_least_one_genre,
        background=background,
        files=file_digests(model_dir),
    )
    signatures.write_model_description(model_dir, description)
    write_warmup_requests(model_dir, module.image_size)
