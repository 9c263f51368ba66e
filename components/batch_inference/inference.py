"""Batch inference on Beam: serialized examples in, the outputs of exported models out."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import apache_beam as beam
import numpy as np
import numpy.typing as npt
from apache_beam.ml.inference.base import KeyedModelHandler, ModelHandler, RunInference

from components.contracts.label_schema import IMAGE_ENCODED, IMAGE_ID
from components.contracts.predictions import CANDIDATE, OUTPUTS, output_feature
from components.contracts.signatures import EMBEDDINGS, EXAMPLES, EXAMPLES_SIGNATURE

if TYPE_CHECKING:
    import tensorflow as tf

Outputs = dict[str, npt.NDArray[np.float32]]
"""Output of a model -> float32 of shape (n,)."""

BATCH_SIZE = 32
METRICS_NAMESPACE = "covers"
INFERRED = "inferred"
"""Beam counter of the covers that went through a model: `inferred_candidate`, for instance."""


def load_model(folder: str) -> Any:
    """Returns the module of a SavedModel."""
    import tensorflow as tf

    return tf.saved_model.load(folder)


class SavedModelHandler(ModelHandler[bytes, Outputs, Any]):
    """Lets Beam's RunInference call the signature of an exported model that takes tf.Examples.

    Args:
        model: its name, for the counter.
        folder: the SavedModel.
        batch_size: covers at a time; fixed, so that a run's results do not depend on timing.
        load: loads the folder, once in each process and pipeline.
    """

    def __init__(
        self,
        model: str,
        folder: str,
        batch_size: int = BATCH_SIZE,
        load: Callable[[str], Any] = load_model,
    ) -> None:
        super().__init__()
        self._folder = folder
        self._load = load
        self._batch_size = batch_size
        self._inferred = beam.metrics.Metrics.counter(METRICS_NAMESPACE, f"{INFERRED}_{model}")

    def load_model(self) -> Any:
        """Loads the SavedModel."""
        return self._load(self._folder)

    def run_inference(
        self, batch: Sequence[bytes], model: Any, inference_args: Any = None
    ) -> Iterable[Outputs]:
        """Returns the outputs for each of some serialized tf.Examples, in their order."""
        import tensorflow as tf

        del inference_args
        found = model.signatures[EXAMPLES_SIGNATURE](**{EXAMPLES: tf.constant(batch, tf.string)})
        self._inferred.inc(len(batch))
        names = [*OUTPUTS, *({EMBEDDINGS} & set(found))]
        columns = [found[name].numpy() for name in names]
        return [dict(zip(names, row, strict=True)) for row in zip(*columns, strict=True)]

    def batch_elements_kwargs(self) -> Mapping[str, Any]:
        """Returns the size of batches."""
        return {"min_batch_size": self._batch_size, "max_batch_size": self._batch_size}


class Predict(beam.PTransform):
    """Maps serialized tf.Examples of covers to ones without the image, but with models' outputs.

    Args:
        models: name -> folder of the SavedModel.
        batch_size: covers that go through a model at a time.
        load: loads a folder, once in each process and pipeline.
        embedded: share of the covers that keep their embeddings, those of the candidate.
    """

    def __init__(
        self,
        models: Mapping[str, str],
        batch_size: int = BATCH_SIZE,
        load: Callable[[str], Any] = load_model,
        embedded: float = 1.0,
    ) -> None:
        super().__init__()
        self._models = dict(models)
        self._embedded = embedded
        self._batch_size = batch_size
        self._load = load

    def expand(self, examples: beam.PCollection) -> beam.PCollection:
        """Runs each model once on each cover, and puts the outputs beside its features."""
        covers = examples | "KeyById" >> beam.Map(lambda each: (_parse_id(each), each))
        parts = {"": covers | "WithoutImage" >> beam.MapTuple(_without_image)}
        for name, folder in self._models.items():
            handler = SavedModelHandler(name, folder, self._batch_size, self._load)
            share = self._embedded if name == CANDIDATE else 0.0
            parts[name] = (
                covers
                | f"Infer[{name}]" >> RunInference(KeyedModelHandler(handler))
                | f"Thin[{name}]" >> beam.Map(_thinned, share=share)
            )
        return parts | "JoinOutputs" >> beam.CoGroupByKey() | beam.FlatMap(_with_outputs)


def _parse_id(serialized: bytes) -> bytes:
    example = _parse(serialized)
    return bytes(example.features.feature[IMAGE_ID].bytes_list.value[0])


def _without_image(key: bytes, serialized: bytes) -> tuple[bytes, bytes]:
    example = _parse(serialized)
    example.features.feature.pop(IMAGE_ENCODED, None)
    return key, example.SerializeToString()


def _thinned(element: tuple[bytes, Outputs], share: float) -> tuple[bytes, Outputs]:
    """Leaves out the embedding, except for a share of the covers: the same ones in every run."""
    key, outputs = element
    if zlib.crc32(key) < share * 2**32:
        return key, outputs
    return key, {name: values for name, values in outputs.items() if name != EMBEDDINGS}


def _with_outputs(element: tuple[bytes, Mapping[str, Iterable[Any]]]) -> Iterator[bytes]:
    _, parts = element
    outputs = {name: list(found) for name, found in parts.items() if name}
    for place, serialized in enumerate(parts[""]):
        example = _parse(serialized)
        for model, found in outputs.items():
            for output, values in found[place].items():
                feature = example.features.feature[output_feature(model, output)]
                feature.float_list.value.extend(values)
        yield example.SerializeToString(deterministic=True)


def _parse(serialized: bytes) -> tf.train.Example:
    import tensorflow as tf

    return tf.train.Example.FromString(serialized)
