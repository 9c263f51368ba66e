from __future__ import annotations

import json

import keras
import numpy as np
import pytest
import tensorflow as tf

from components.contracts import signatures
from components.support.errors import DeploymentError
from components.trainer.config import TrainerConfig
from components.trainer.dataset import eval_dataset, load_images, read_split
from components.trainer.export import export_model
from components.trainer.model import build_model, compile_model
from components.trainer.preprocessing import decode_and_resize_batch
from components.trainer.thresholds import DecisionRule

THRESHOLDS = np.array([0.1, 0.3, 0.5, 0.7, 0.9], np.float32)


@pytest.fixture(scope="module")
def exported(covers, schema, tmp_path_factory):
    """Trains one epoch with augmentation, exports, and returns (folder, batched outputs)."""
    config = TrainerConfig.model_validate(
        {
            "image_size": 48,
            "layers": [
                {"Conv2D": {"filters": 4, "kernel_size": 3, "strides": 2}},
                {"BatchNormalization": {"momentum": 0.5}},
                "GlobalAveragePooling2D",
                {"Dropout": {"rate": 0.5}},
            ],
            "augmentation": ["RandomFlip", {"RandomRotation": {"factor": 0.4}}],
        }
    )
    split = read_split(covers.patterns("eval"), schema, "eval")
    batches = eval_dataset(split, load_images(split, schema, config), schema, config)
    model = build_model(config, len(schema.genres))
    compile_model(model, config, steps_per_epoch=1)
    model.fit(batches, epochs=1, verbose=0)
    folder = tmp_path_factory.mktemp("model")
    export_model(model.network, schema.genres, DecisionRule(THRESHOLDS), "recipe-1", folder)
    return folder, model.network.predict(batches, verbose=0)


@pytest.fixture(scope="module")
def loaded(exported):
    return tf.saved_model.load(str(exported[0]))


def test_serving_equals_training_path(exported, loaded, covers, schema):
    served = loaded.signatures[signatures.SERVING_SIGNATURE](
        image_bytes=tf.constant(covers.encoded["eval"])
    )
    probabilities = served[signatures.PROBABILITIES].numpy()
    np.testing.assert_allclose(probabilities, exported[1], atol=1e-5)
    assert probabilities.std() > 0
    decisions = served[signatures.DECISIONS]
    assert decisions.dtype == tf.int64
    np.testing.assert_array_equal(decisions, probabilities >= THRESHOLDS)
    genres = served[signatures.GENRES].numpy()
    assert genres.shape == probabilities.shape
    assert [name.decode() for name in genres[-1]] == list(schema.genres)


def test_examples_signature_equals_training_path(exported, loaded, covers, example):
    serialized = [
        example(*pair)
        for pair in zip(covers.encoded["eval"], covers.labels["eval"].tolist(), strict=True)
    ]
    served = loaded.signatures[signatures.EXAMPLES_SIGNATURE](examples=tf.constant(serialized))
    assert set(served) == {
        signatures.PROBABILITIES,
        signatures.DECISIONS,
        signatures.EMBEDDINGS,
    }
    probabilities = served[signatures.PROBABILITIES].numpy()
    np.testing.assert_allclose(probabilities, exported[1], atol=1e-5)
    assert served[signatures.DECISIONS].dtype == tf.float32
    np.testing.assert_array_equal(served[signatures.DECISIONS], probabilities >= THRESHOLDS)


def test_the_pixels_signature_equals_the_training_path(exported, loaded, covers):
    pixels = decode_and_resize_batch(tf.constant(covers.encoded["eval"]), 48)
    served = loaded.signatures[signatures.PIXELS_SIGNATURE](pixels=pixels)
    assert set(served) == {signatures.PROBABILITIES}
    np.testing.assert_allclose(served[signatures.PROBABILITIES], exported[1], atol=1e-5)


def test_an_empty_batch_has_an_empty_answer(loaded, schema):
    empty = {
        signatures.SERVING_SIGNATURE: {"image_bytes": tf.constant([], tf.string)},
        signatures.EXAMPLES_SIGNATURE: {"examples": tf.constant([], tf.string)},
        signatures.EMBEDDINGS_SIGNATURE: {"image_bytes": tf.constant([], tf.string)},
        signatures.PIXELS_SIGNATURE: {"pixels": tf.zeros([0, 48, 48, 3], tf.uint8)},
    }
    for name, batch in empty.items():
        for key, output in loaded.signatures[name](**batch).items():
            assert output.shape == (0, 4 if key == signatures.EMBEDDINGS else len(schema.genres))


def test_at_least_one_genre_is_served(covers, schema, tmp_path):
    network = build_model(TrainerConfig(image_size=48, layers=["Flatten"]), 5).network
    rule = DecisionRule(np.full(5, 0.999, np.float32), at_least_one_genre=True)
    export_model(network, schema.genres, rule, "recipe-1", tmp_path)
    serve = tf.saved_model.load(str(tmp_path)).signatures[signatures.SERVING_SIGNATURE]
    served = serve(image_bytes=tf.constant(covers.encoded["eval"]))
    probabilities = served[signatures.PROBABILITIES].numpy()
    np.testing.assert_array_equal(served[signatures.DECISIONS], rule.decide(probabilities))
    assert (served[signatures.DECISIONS].numpy().sum(axis=1) >= 1).all()
    assert signatures.read_model_description(tmp_path).at_least_one_genre


def test_undecodable_bytes_are_refused_by_name(loaded, covers):
    serve = loaded.signatures[signatures.SERVING_SIGNATURE]
    with pytest.raises(tf.errors.InvalidArgumentError, match="Expected the bytes of a JPEG or PNG"):
        serve(image_bytes=tf.constant([covers.encoded["eval"][0], b"<html>"]))


def test_the_model_holds_its_thresholds_and_no_training_state(exported, loaded):
    np.testing.assert_array_equal(loaded.thresholds, THRESHOLDS)
    variables = dict(tf.train.list_variables(str(exported[0] / "variables" / "variables")))
    assert any("thresholds" in name for name in variables)
    assert not [name for name in variables if "optimizer" in name or "augmentation" in name]


def test_description_round_trip(exported, schema):
    description = signatures.read_model_description(exported[0])
    assert description.genres == schema.genres
    np.testing.assert_allclose(description.thresholds, THRESHOLDS)
    assert description.image_size == 48
    assert description.recipe == "recipe-1"
    assert description.versions == {"tensorflow": tf.__version__, "keras": keras.__version__}


def test_absent_or_broken_descriptions_are_deployment_errors(tmp_path):
    with pytest.raises(DeploymentError, match=r"without assets\.extra/covers\.json"):
        signatures.read_model_description(tmp_path)
    path = tmp_path / signatures.DESCRIPTION_FILE
    path.parent.mkdir()
    fields = {"genres": ["a"], "thresholds": [], "image_size": 8, "recipe": "", "versions": {}}
    for text, message in (
        ("{", "JSONDecodeError"),
        ("[]", "TypeError"),
        ("{}", "KeyError"),
        (json.dumps(fields), "one decision threshold per genre"),
    ):
        path.write_text(text)
        with pytest.raises(DeploymentError, match=message):
            signatures.read_model_description(tmp_path)
