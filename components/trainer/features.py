"""The features of covers from a frozen backbone: computed once, kept for other training runs."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from importlib import metadata
from pathlib import Path
from types import ModuleType
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from components.contracts.label_schema import LabelSchema
from components.contracts.nodes import TRAINER
from components.support import progress
from components.trainer import (
    backbone,
    channel_correlations,
    channel_layout,
    channel_statistics,
    efficientnet_lite,
    image_statistics,
    preprocessing,
)
from components.trainer.config import AnyBackbone, TrainerConfig
from components.trainer.dataset import Split, images_dataset
from components.trainer.feature_store import FeatureStore, covers_in_a_segment
from components.trainer.foundation import (
    build,
    encoder,
    files,
    keras_file,
    keras_hub_preset,
    saved_model,
)
from components.trainer.foundation.config import FoundationModel
from components.trainer.lasting import lasting_folder
from components.trainer.worker_group import WorkerGroup

# The maps of a large batch of large covers would fill the memory of a small machine.
_COVERS_AT_ONCE = 32
# What turns the bytes of a cover into features.
_CODE = (
    preprocessing,
    backbone,
    channel_correlations,
    channel_layout,
    channel_statistics,
    efficientnet_lite,
    image_statistics,
)
_CODE_FOR_FILES = (build, encoder, keras_file, keras_hub_preset, saved_model)


def open_feature_store(root: str, config: TrainerConfig) -> FeatureStore | None:
    """Returns the feature store in a folder, or None if none can be kept."""
    if not config.feature_gigabytes:
        return None
    folder = lasting_folder(
        root, kept="features", otherwise="Every training run computes them again."
    )
    return FeatureStore(folder, config.feature_gigabytes * 1e9) if folder else None


def features_key(extractor: keras.Model, config: TrainerConfig) -> str:
    """Returns a hash of everything that a cover's features depend on, except the cover.

    That includes the weights themselves, wherever they came from, the code that turns bytes into
    features, and the kind of processor, since GPUs round differently.

    Args:
        extractor: images to features; see `split_at_features`.
        config: names the backbones and the size of the covers.
    """
    image, *layers = extractor.layers
    from_files = [each for each in config.backbone if isinstance(each, FoundationModel)]
    code = (*_CODE, *_CODE_FOR_FILES) if from_files else _CODE
    versions = {"tensorflow": tf.__version__, "keras": keras.__version__}
    if any(each.keras_hub for each in from_files):
        versions["keras_hub"] = metadata.version("keras-hub")
    parts = {
        "backbones": [_describe_backbone(each) for each in config.backbone],
        "layers_after_them": [_describe(layer) for layer in layers[1:]],
        "image_size": config.image_size,
        "precision": [layer.dtype_policy.name for layer in (image, *layers)],
        "weights": _digest_of_weights(extractor),
        "code": {module.__name__: _digest_of_code(module) for module in code},
        "versions": versions,
        "on_a_gpu": bool(tf.config.list_physical_devices("GPU")),
    }
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()


def compute_features(
    extractor: keras.Model,
    key: str,
    split: Split,
    images: tf.Tensor | None,
    schema: LabelSchema,
    config: TrainerConfig,
    store: FeatureStore | None,
    group: WorkerGroup | None = None,
) -> tf.Tensor:
    """Returns the features of each cover, float32, shape (covers, ...), in the machine's memory.

    Only covers whose features are not in the store go through the extractor. Its results are stored
    every few hundred covers, so that a training run that is killed loses little.

    Args:
        extractor: images to features.
        key: see `features_key`.
        split: the covers.
        images: see `load_images`.
        schema: names the features of examples.
        config: batch size and image size.
        store: where features are kept; None computes all of them.
        group: the workers that share the work; None does it alone.
    """
    features = np.zeros((len(split.ids), *extractor.output_shape[1:]), np.float32)
    missing = _missing(features, key, split, store, group)
    kept = len(split.ids) - len(missing)
    note = f"{kept:,} features kept from earlier runs"
    if not len(missing):
        progress.report(TRAINER, kept, kept, note)
    own = missing[group.part.index :: group.part.count] if group else missing
    if len(own):
        unit = "covers through the frozen backbone"
        progress.start(TRAINER, len(own), f"{unit} ({note})" if kept else unit)
    size = covers_in_a_segment(features)
    forward = _forward(extractor)
    done = written = 0
    few = config.model_copy(update={"batch_size": min(config.batch_size, _COVERS_AT_ONCE)})
    for batch in images_dataset(split, images, own, schema, few) if len(own) else ():
        rows = own[done : done + len(batch)]
        features[rows] = forward(batch)
        done += len(rows)
        if store and (done - written >= size or done == len(own)):
            rows = own[written:done]
            store.write(key, [split.ids[row] for row in rows], features[rows])
            written = done
        progress.advance(TRAINER, len(batch))
    return _in_memory(group.add_up(features) if group else features)


def _forward(extractor: keras.Model) -> Callable[[tf.Tensor], Any]:
    """Returns what computes the features of a batch."""
    if extractor.distribute_strategy.num_replicas_in_sync == 1:
        return extractor.predict_on_batch
    # `predict_on_batch` would give the whole batch to each device, and return it as often.
    return tf.function(lambda covers: extractor(covers, training=False), reduce_retracing=True)


def _missing(
    features: np.ndarray,
    key: str,
    split: Split,
    store: FeatureStore | None,
    group: WorkerGroup | None,
) -> np.ndarray:
    """Fills in what is kept, at the chief alone, and returns the rows for which nothing is."""
    rows = np.arange(len(split.ids))
    if group is None or group.is_chief:
        rows = store.read(key, split.ids, features) if store else rows
    if group is None:
        return rows
    is_missing = np.zeros((len(split.ids), 1), np.float32)
    is_missing[rows if group.is_chief else []] = 1.0
    return np.flatnonzero(group.add_up(is_missing)[:, 0])


def _in_memory(features: np.ndarray) -> tf.Tensor:
    with tf.device("CPU:0"):
        return tf.convert_to_tensor(features)


def _describe_backbone(config: AnyBackbone) -> Any:
    """Describes a backbone, by what is in its file and not by where that is."""
    if not isinstance(config, FoundationModel):
        return config.name, config.features
    options = config.model_dump(mode="json", exclude={config.kind})
    return config.kind, files.fingerprint(config.location), options


def _describe(layer: keras.Layer) -> dict[str, Any]:
    settings = {key: value for key, value in layer.get_config().items() if key != "name"}
    return {"class": type(layer).__name__, **settings}


def _digest_of_weights(model: keras.Model) -> str:
    digest = hashlib.sha256()
    for array in model.get_weights():
        digest.update(f"{array.shape} {array.dtype}".encode())
        digest.update(array.tobytes())
    return digest.hexdigest()


def _digest_of_code(module: ModuleType) -> str:
    return hashlib.sha256(Path(str(module.__file__)).read_bytes()).hexdigest()
