"""Batch inference on Beam: serialized examples in, the outputs of exported models out.

Nothing is shuffled: what is known of a batch travels with it from model to model, so that a runner
does all of them in one go, in the order given.
"""

from __future__ import annotations

import dataclasses
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import apache_beam as beam
import numpy as np
import numpy.typing as npt
from apache_beam.ml.inference.base import ModelHandler, RunInference

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


@dataclasses.dataclass(frozen=True)
class Batch:
    """Covers that go through a model together.

    Attributes:
        examples: serialized tf.Examples.
        key: whatever is to stay with the batch.
        outputs: model -> its outputs for each example.
    """

    examples: Sequence[bytes]
    key: Any = None
    outputs: Mapping[str, Sequence[Outputs]] = dataclasses.field(default_factory=dict)


def load_model(folder: str) -> Any:
    """Returns the module of a SavedModel."""
    import tensorflow as tf

    return tf.saved_model.load(folder)


class SavedModelHandler(ModelHandler[Batch, Batch, Any]):
    """Lets Beam's RunInference call the signature of an exported model that takes tf.Examples.

    Batches are those given, so that results do not depend on how a runner bundles them.

    Args:
        model: its name, for the counter and among the outputs.
        folder: the SavedModel.
        load: loads the folder, once in each process and pipeline.
    """

    def __init__(self, model: str, folder: str, load: Callable[[str], Any] = load_model) -> None:
        super().__init__()
        self._model = model
        self._folder = folder
        self._load = load
        self._inferred = beam.metrics.Metrics.counter(METRICS_NAMESPACE, f"{INFERRED}_{model}")

    def load_model(self) -> Any:
        """Loads the SavedModel."""
        return self._load(self._folder)

    def run_inference(
        self, batch: Sequence[Batch], model: Any, inference_args: Any = None
    ) -> Iterator[Batch]:
        """Yields the batches, with the model's outputs for each of their examples."""
        del inference_args
        for each in batch:
            outputs = self._ask(each.examples, model) if each.examples else []
            yield dataclasses.replace(each, outputs={**each.outputs, self._model: outputs})

    def _ask(self, examples: Sequence[bytes], model: Any) -> list[Outputs]:
        import tensorflow as tf

        found = model.signatures[EXAMPLES_SIGNATURE](**{EXAMPLES: tf.constant(examples, tf.string)})
        self._inferred.inc(len(examples))
        names = [*OUTPUTS, *({EMBEDDINGS} & set(found))]
        columns = [found[name].numpy() for name in names]
        return [dict(zip(names, row, strict=True)) for row in zip(*columns, strict=True)]

    def get_num_bytes(self, batch: Sequence[Batch]) -> int:
        """Returns the size of the examples, for Beam's own metrics."""
        return sum(len(example) for each in batch for example in each.examples)

    def batch_elements_kwargs(self) -> Mapping[str, Any]:
        """Leaves the batches as they are."""
        return {"min_batch_size": 1, "max_batch_size": 1}


class Infer(beam.PTransform):
    """Adds the outputs of models to each `Batch`.

    Args:
        models: name -> folder of the SavedModel.
        load: loads a folder, once in each process and pipeline.
    """

    def __init__(self, models: Mapping[str, str], load: Callable[[str], Any] = load_model) -> None:
        super().__init__()
        self._models = dict(models)
        self._load = load

    def expand(self, batches: beam.PCollection) -> beam.PCollection:
        """Runs each batch through one model after the other."""
        for name, folder in self._models.items():
            handler = SavedModelHandler(name, folder, self._load)
            batches |= f"Infer[{name}]" >> RunInference(handler)
        return batches


class Predict(beam.PTransform):
    """Maps serialized tf.Examples of covers to ones without the image, but with models' outputs.

    Args:
        models: name -> folder of the SavedModel.
        batch_size: covers that go through a model at a time; fixed, so that a run's results do not
            depend on timing.
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
        return (
            examples
            | beam.BatchElements(self._batch_size, self._batch_size)
            | beam.Map(Batch)
            | Infer(self._models, self._load)
            | beam.FlatMap(_with_outputs, share=self._embedded)
        )


def _with_outputs(batch: Batch, share: float) -> Iterator[bytes]:
    for place, serialized in enumerate(batch.examples):
        example = _parse(serialized)
        features: Mapping[str, Any] = example.features.feature
        identity = features[IMAGE_ID].bytes_list.value[0]
        example.features.feature.pop(IMAGE_ENCODED, None)
        for model, outputs in batch.outputs.items():
            kept = share if model == CANDIDATE else 0.0
            for output, values in outputs[place].items():
                if output != EMBEDDINGS or _is_kept(identity, kept):
                    features[output_feature(model, output)].float_list.value.extend(values)
        yield example.SerializeToString(deterministic=True)


def _is_kept(identity: bytes, share: float) -> bool:
    """Tells whether a cover is one of a share of them: the same ones in every run."""
    return zlib.crc32(identity) < share * 2**32


def _parse(serialized: bytes) -> tf.train.Example:
    import tensorflow as tf

    return tf.train.Example.FromString(serialized)
