"""What the last layer sees of covers: exported, and written down for the train split."""

from __future__ import annotations

import hashlib

import numpy as np
import pytest
import tensorflow as tf

from components.contracts.cover_embeddings import read_cover_embeddings
from components.contracts.signatures import (
    EMBEDDINGS,
    EMBEDDINGS_SIGNATURE,
    EXAMPLES_SIGNATURE,
    PROBABILITIES,
    SERVING_SIGNATURE,
)
from components.trainer import embedding
from components.trainer.config import TrainerConfig
from components.trainer.export import export_model
from components.trainer.model import build_model
from components.trainer.run import run_fn
from components.trainer.thresholds import DecisionRule

_FROZEN = {"name": "EfficientNetLite0", "fine_tune": "none", "weights": "none"}
_CONFIGS = {
    "frozen": {
        "image_size": 32,
        "backbone": {**_FROZEN, "features": "stages"},
        "layers": ["BatchNormalization", {"Dense": {"units": 6, "activation": "relu"}}],
    },
    "refitted": {
        "image_size": 32,
        "early_stopping": None,
        "refit": True,
        "backbone": {**_FROZEN, "features": "stages"},
        "layers": ["BatchNormalization", {"Dense": {"units": 6, "activation": "relu"}}],
    },
    "from scratch": {
        "image_size": 32,
        "layers": [{"Conv2D": {"filters": 7, "kernel_size": 3}}, "GlobalAveragePooling2D"],
        "augmentation": ["RandomFlip"],
    },
}


@pytest.mark.parametrize("kind", _CONFIGS)
def test_the_train_split_is_written_as_the_served_model_sees_it(
    kind, covers, example, tmp_path, monkeypatch
):
    if kind == "frozen":
        monkeypatch.setattr(embedding, "_MOST_FROM_FEATURES", 11)
    common = {"epochs": 1, "early_stopping": None}
    config = TrainerConfig.model_validate({**common, **_CONFIGS[kind]})
    run_fn(covers.fn_args(config, tmp_path / "model", tmp_path))
    written = read_cover_embeddings(tmp_path)
    splits = ("train", "eval") if kind == "refitted" else ("train",)
    encoded = [each for split in splits for each in covers.encoded[split]]
    by_id = {hashlib.sha256(each).hexdigest(): each for each in encoded}
    assert len(written.ids) == (11 if kind == "frozen" else len(by_id))
    given = np.concatenate([covers.labels[split] for split in splits])
    labels = dict(zip(by_id, given > 0, strict=True))
    np.testing.assert_array_equal(written.labels, [labels[each] for each in written.ids])

    served = tf.saved_model.load(str(tmp_path / "model")).signatures
    encoded = [by_id[each] for each in written.ids]
    found = served[EMBEDDINGS_SIGNATURE](image_bytes=tf.constant(encoded))[EMBEDDINGS].numpy()
    assert found.shape == (len(encoded), 7 if kind == "from scratch" else 6)
    assert found.std() > 0
    np.testing.assert_allclose(found, written.embeddings, rtol=2e-3, atol=2e-3)

    examples = tf.constant([example(each, [1, 0, 0, 0, 0]) for each in encoded])
    evaluated = served[EXAMPLES_SIGNATURE](examples=examples)
    np.testing.assert_allclose(evaluated[EMBEDDINGS], found, rtol=1e-4, atol=1e-4)
    said = served[SERVING_SIGNATURE](image_bytes=tf.constant(encoded))[PROBABILITIES]
    np.testing.assert_allclose(evaluated[PROBABILITIES], said, atol=1e-5)


def test_a_network_whose_last_layer_sees_too_much_has_no_embeddings(
    covers, schema, tmp_path, monkeypatch
):
    monkeypatch.setattr(embedding, "_WIDEST", 48 * 48 * 3 - 1)
    network = build_model(TrainerConfig(image_size=48, layers=["Flatten"]), 5).network
    export_model(network, schema.genres, DecisionRule(np.full(5, 0.5)), "recipe-1", tmp_path)
    served = tf.saved_model.load(str(tmp_path)).signatures
    assert EMBEDDINGS_SIGNATURE not in served
    said = served[SERVING_SIGNATURE](image_bytes=tf.constant(covers.encoded["eval"]))
    np.testing.assert_allclose(said[PROBABILITIES].shape, (len(covers.encoded["eval"]), 5))
