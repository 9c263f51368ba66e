"""A damaged model is one clear sentence, whatever the damage, and never a traceback."""

from __future__ import annotations

import dataclasses
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import tensorflow as tf
from click.testing import CliRunner

from components.contracts.saved_models import file_digests, load_saved_model
from components.contracts.signatures import (
    DECISIONS,
    IMAGE_BYTES,
    PROBABILITIES,
    SERVING_SIGNATURE,
    ModelDescription,
    read_model_description,
    write_model_description,
)
from components.support.errors import DeploymentError
from pipeline.cli import main

GENRES = ("pop", "rock")
FILES = ("saved_model.pb", "variables/variables.index", "variables/variables.data-00000-of-00001")


class _Model(tf.Module):
    def __init__(self) -> None:
        super().__init__()
        self.bias = tf.Variable([0.25, 0.75])

    @tf.function(input_signature=[tf.TensorSpec([None], tf.string, name=IMAGE_BYTES)])
    def serve(self, image_bytes: tf.Tensor) -> dict[str, tf.Tensor]:
        probabilities = tf.zeros((tf.shape(image_bytes)[0], 2)) + self.bias
        return {PROBABILITIES: probabilities, DECISIONS: tf.cast(probabilities > 0.5, tf.int64)}


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("model")
    model = _Model()
    tf.saved_model.save(model, str(folder), signatures={SERVING_SIGNATURE: model.serve})
    digests = file_digests(folder)
    assert set(digests) >= set(FILES)
    write_model_description(
        folder, ModelDescription(GENRES, (0.5, 0.5), 64, "a", {}, files=digests)
    )
    return folder


@pytest.fixture(params=["with digests", "from before there were digests"])
def model(request: pytest.FixtureRequest, exported: Path, tmp_path: Path) -> Path:
    shutil.copytree(exported, tmp_path / "model")
    if request.param != "with digests":
        description = dataclasses.replace(read_model_description(exported), files={})
        write_model_description(tmp_path / "model", description)
    return tmp_path / "model"


def predict(model: Path, cover: Path) -> tuple[int, str]:
    result = CliRunner().invoke(main, ["predict", str(cover), "--model", str(model)])
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    return result.exit_code, result.output


def _truncate(file: Path) -> None:
    file.write_bytes(file.read_bytes()[: file.stat().st_size // 2])


DAMAGE = {
    "truncated": _truncate,
    "missing": lambda file: file.unlink(),
    "empty": lambda file: file.write_bytes(b""),
    "noise": lambda file: file.write_bytes(bytes(range(256)) * 40),
    "a folder": lambda file: (file.unlink(), file.mkdir()),
}


def test_a_whole_model_answers_with_a_note_that_it_is_code(
    model: Path, tmp_path: Path, write_cover: Callable[..., Path]
) -> None:
    code, output = predict(model, write_cover(tmp_path / "cover.jpg", 1))
    assert code == 0, output
    assert "rock  (pop 0.25  rock 0.75)" in output
    assert "a SavedModel is code that runs with your rights" in output


@pytest.mark.parametrize("damage", DAMAGE)
@pytest.mark.parametrize("file", FILES)
def test_damage_is_one_sentence(
    model: Path, file: str, damage: str, tmp_path: Path, write_cover: Callable[..., Path]
) -> None:
    DAMAGE[damage](model / file)
    code, output = predict(model, write_cover(tmp_path / "cover.jpg", 1))
    assert code == DeploymentError.exit_code
    assert "Error: Expected an undamaged model in" in output
    assert "Traceback" not in output
    assert len(output.splitlines()) <= 3


@pytest.mark.parametrize("file", FILES)
def test_a_flipped_bit_is_noticed(exported: Path, file: str, tmp_path: Path) -> None:
    shutil.copytree(exported, tmp_path / "model")
    content = bytearray((exported / file).read_bytes())
    content[len(content) // 2] ^= 1
    (tmp_path / "model" / file).write_bytes(content)
    with pytest.raises(DeploymentError, match=f"{file} is not the file that was exported"):
        load_saved_model(tmp_path / "model", SERVING_SIGNATURE)


@pytest.mark.parametrize("name", ["/dev/zero", "../cover.jpg", "variables/none"])
def test_digests_name_files_of_the_model_only(exported: Path, name: str, tmp_path: Path) -> None:
    shutil.copytree(exported, tmp_path / "model")
    described = dataclasses.replace(read_model_description(exported), files={name: "0" * 64})
    write_model_description(tmp_path / "model", described)
    with pytest.raises(DeploymentError, match="is missing"):
        load_saved_model(tmp_path / "model", SERVING_SIGNATURE)


def test_a_model_without_the_projects_description_is_not_loaded(
    exported: Path, tmp_path: Path, write_cover: Callable[..., Path]
) -> None:
    shutil.copytree(exported, tmp_path / "model", ignore=shutil.ignore_patterns("assets.extra"))
    code, output = predict(tmp_path / "model", write_cover(tmp_path / "cover.jpg", 1))
    assert code == DeploymentError.exit_code
    assert "Expected a model exported by this project" in output


@pytest.mark.parametrize(
    "text",
    [
        "[]",
        "[" * 100_000,
        '{"genres": ["a"], "thresholds": [0.5], "image_size": 1e999, "recipe": "", "versions": {}}',
        '{"genres": 7}',
        " " * (9 << 20),
        "\ud800",
    ],
)
def test_a_description_of_something_else_is_refused(tmp_path: Path, text: str) -> None:
    file = tmp_path / "assets.extra" / "covers.json"
    file.parent.mkdir()
    file.write_bytes(text.encode("utf-8", "surrogatepass"))
    with pytest.raises(DeploymentError, match="to describe a model exported by this project"):
        read_model_description(tmp_path)
