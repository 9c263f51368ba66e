"""Exported models answer through the loader of TensorFlow Serving and KServe."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image
from tensorflow_serving.apis import prediction_log_pb2

from components.contracts.signatures import (
    DECISIONS,
    GENRES,
    IMAGE_BYTES,
    PROBABILITIES,
    SERVING_SIGNATURE,
)
from components.infra_validator.config import SESSION
from components.infra_validator.interface import read_signatures
from components.infra_validator.processes import examine, make_request
from components.trainer.config import TrainerConfig
from components.trainer.export import export_model
from components.trainer.model import build_model
from components.trainer.thresholds import DecisionRule
from components.trainer.warmup import WARMUP_FILE
from pipeline.config import SHIPPED_CONFIGS, load_config
from tests.serving.session import answers_in_session

CONFIGS = sorted(path.stem for path in SHIPPED_CONFIGS.glob("*.yaml"))
RULE = DecisionRule(np.linspace(0.4, 0.6, 5).astype(np.float32), at_least_one_genre=True)
GENRE_NAMES = ("electronic", "hiphop", "jazz", "pop", "rock")


def _trainer_config(name: str) -> TrainerConfig:
    """The shipped configuration, for covers no larger than 96 px: any size is loaded alike."""
    trainer = load_config(name).trainer
    return trainer.model_copy(update={"image_size": min(96, trainer.image_size)})


@pytest.fixture(scope="module", params=CONFIGS)
def exported(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Returns the SavedModel of a network of each kind, with the weights it starts with."""
    config = _trainer_config(request.param).model_copy(update={"output_bias": "zeros"})
    network = build_model(config, len(GENRE_NAMES)).network
    folder = tmp_path_factory.mktemp("model")
    export_model(network, GENRE_NAMES, RULE, "recipe", folder)
    return folder


def _covers(folder: Path, draw_cover: Callable[..., Image.Image]) -> list[Path]:
    files = [folder / name for name in ("small.png", "large.jpg", "grey.jpg", "cmyk.jpg")]
    draw_cover(1, 40).save(files[0])
    draw_cover(2, 400).save(files[1])
    draw_cover(3, 120).convert("L").save(files[2])
    draw_cover(4, 120).convert("CMYK").save(files[3])
    return files


def test_a_model_answers_through_the_session_loader_as_through_pythons(
    exported: Path, tmp_path: Path, draw_cover: Callable[..., Image.Image]
) -> None:
    files = _covers(tmp_path, draw_cover)
    signature = tf.saved_model.load(str(exported)).signatures[SERVING_SIGNATURE]
    expected = signature(image_bytes=tf.constant([file.read_bytes() for file in files]))
    answer = answers_in_session(exported, files, tmp_path / "process")
    np.testing.assert_allclose(answer[PROBABILITIES], expected[PROBABILITIES], atol=1e-5)
    assert np.std(answer[PROBABILITIES]) > 0
    np.testing.assert_array_equal(answer[DECISIONS], expected[DECISIONS])
    assert answer[GENRES] == [list(GENRE_NAMES)] * len(files)


def test_the_warm_up_requests_of_an_export_are_answered(exported: Path, tmp_path: Path) -> None:
    asked = []
    for record in tf.data.TFRecordDataset(str(exported / WARMUP_FILE)):
        log = prediction_log_pb2.PredictionLog.FromString(record.numpy()).predict_log.request
        covers = tf.make_ndarray(log.inputs[IMAGE_BYTES])
        files = [tmp_path / f"{len(covers)}-{number}.jpg" for number in range(len(covers))]
        for file, cover in zip(files, covers, strict=True):
            file.write_bytes(cover)
        asked.append(
            {
                "name": str(len(covers)),
                "signature": log.model_spec.signature_name,
                "input": IMAGE_BYTES,
                "files": [str(file) for file in files],
            }
        )
    request = make_request(
        SESSION, exported, read_signatures(exported), asked, timed=asked[0]["name"], again=()
    )
    found = examine(request, tmp_path / "process", None)
    assert found.answer is not None, found.end
    for name, each in found.answer["answers"].items():
        assert np.shape(each["outputs"][PROBABILITIES]) == (int(name), len(GENRE_NAMES))
    assert set(found.answer["answers"]) == {"1", "8"}
