from __future__ import annotations

import dataclasses
import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf
from click.testing import CliRunner

from components.contracts.pushed_models import push_model
from components.contracts.signatures import (
    SERVING_SIGNATURE,
    read_model_description,
    write_model_description,
)
from components.trainer.config import KernelRidge, TrainerConfig
from components.trainer.export import export_model
from components.trainer.kernel_head import Mixture, with_kernel
from components.trainer.kernel_ridge import fit_kernel
from components.trainer.model import build_model
from components.trainer.preprocessing import decode_and_resize_batch
from components.trainer.thresholds import DecisionRule
from pipeline.cli import main
from pipeline.commands.export import command, formats
from pipeline.commands.export.parity import Parity

ROOT = Path(__file__).parents[3]
GENRES = ("electronic", "hip hop", "jazz")
SIDE = 40
FORMATS = ("onnx", "tflite")
Write = Callable[..., Path]


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    config = TrainerConfig.model_validate(
        {
            "image_size": SIDE,
            "output_bias": "zeros",
            "layers": [
                {"Conv2D": {"filters": 4, "kernel_size": 3, "strides": 2}},
                "BatchNormalization",
                "ReLU",
                "Flatten",
            ],
        }
    )
    folder = tmp_path_factory.mktemp("exported") / "model"
    rule = DecisionRule(np.array([0.45, 0.5, 0.55], np.float32), at_least_one_genre=True)
    export_model(build_model(config, len(GENRES)).network, GENRES, rule, "recipe-1", folder)
    return folder


@pytest.fixture(scope="module")
def root(model: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A pipeline root in which the same model was pushed twice, as 7 and 8."""
    destination = tmp_path_factory.mktemp("root") / "covers" / "serving"
    for version in (7, 8):
        push_model(model, str(destination), f"{destination}/{version}")
    return destination.parent.parent


def _export(*arguments: str | Path) -> tuple[int, str, str]:
    result = CliRunner().invoke(main, ["export", *map(str, arguments)])
    assert not result.exception or isinstance(result.exception, SystemExit), result.exception
    return result.exit_code, result.stdout, result.stderr


@pytest.mark.parametrize("name", FORMATS)
def test_the_served_model_answers_alike_in_another_runtime(
    name: str, root: Path, tmp_path: Path, write_cover: Write
) -> None:
    covers = [write_cover(tmp_path / "covers" / f"{seed}.jpg", seed) for seed in range(11)]
    output = tmp_path / "out" / f"model.{name}"
    output.parent.mkdir()
    place = ("--pipeline-root", root, "--output", output)
    code, stdout, stderr = _export(
        *("--format", name, *place, "--covers", covers[0], "--covers", tmp_path / "covers"),
        "--json",
    )
    assert (code, stderr) == (0, "")
    printed = json.loads(stdout)
    assert printed["model"] == str(root / "covers" / "serving" / "8")
    assert printed["parity"]["covers"] == 12
    assert printed["parity"]["largest_difference"] < 1e-5
    assert printed["size"] == output.stat().st_size
    assert sorted(file.name for file in output.parent.iterdir()) == [
        output.name,
        f"{output.name}.json",
    ]

    served = tf.saved_model.load(printed["model"]).signatures[SERVING_SIGNATURE]
    encoded = tf.constant([cover.read_bytes() for cover in covers])
    expected = served(image_bytes=encoded)["probabilities"].numpy()
    assert expected.std() > 0.01
    ask = formats.FORMATS[name].load(output)
    pixels = decode_and_resize_batch(encoded, SIDE).numpy()
    for batch in (1, 11, 4):
        np.testing.assert_allclose(ask(pixels[:batch]), expected[:batch], atol=1e-5)


@pytest.mark.parametrize("name", FORMATS)
def test_a_kernel_is_converted_with_its_network(name: str, tmp_path: Path) -> None:
    layers = ["ChannelStatistics", {"Dense": {"units": 4}}]
    config = TrainerConfig.model_validate({"image_size": SIDE, "layers": layers})
    random = np.random.default_rng(0)
    features = random.uniform(0, 255, (30, 6)).astype(np.float32)
    labels = random.integers(0, 2, (30, len(GENRES))).astype(np.float32)
    kernel = fit_kernel(features, labels, KernelRidge(components=5))
    mixture = Mixture(0.01, 4.0, np.linspace(-1.0, 1.0, len(GENRES)))
    network = with_kernel(build_model(config, len(GENRES)).network, kernel, mixture)
    rule = DecisionRule(np.full(len(GENRES), 0.5, np.float32))
    export_model(network, GENRES, rule, "recipe-1", tmp_path / "model")
    output = tmp_path / f"model.{name}"
    code, stdout, _ = _export(
        "--format", name, "--model", tmp_path / "model", "--output", output, "--json"
    )
    assert code == 0
    assert json.loads(stdout)["parity"]["largest_difference"] < 1e-4
    pixels = random.integers(0, 256, (3, SIDE, SIDE, 3)).astype(np.uint8)
    expected = network.predict(pixels, verbose=0)
    np.testing.assert_allclose(formats.FORMATS[name].load(output)(pixels), expected, atol=1e-4)


@pytest.mark.parametrize("name", FORMATS)
def test_what_the_model_is_travels_with_it(name: str, root: Path, tmp_path: Path) -> None:
    output = tmp_path / f"model.{name}"
    arguments = ("--format", name, "--pipeline-root", root, "--version", "7", "--output", output)
    code, stdout, _ = _export(*arguments)
    assert code == 0
    assert re.search(r"covers a second.* SavedModel [\d,]+, (ONNX|TensorFlow)", stdout)
    found = json.loads(output.with_name(output.name + ".json").read_text())
    facts = {
        "version": "7",
        "genres": list(GENRES),
        "thresholds": [float(np.float32(each)) for each in (0.45, 0.5, 0.55)],
        "at_least_one_genre": True,
        "image_size": SIDE,
        "background": "#ffffff",
        "recipe": "recipe-1",
        "input": {"name": "pixels", "type": "uint8", "shape": [None, SIDE, SIDE, 3]},
        "output": {"name": "probabilities", "type": "float32", "shape": [None, 3]},
    }
    assert {key: found[key] for key in facts} == facts
    assert found["sha256"] == hashlib.sha256(output.read_bytes()).hexdigest()
    if name == "onnx":
        import onnx

        properties = {each.key: each.value for each in onnx.load(output).metadata_props}
        assert (properties["version"], properties["recipe"]) == ("7", "recipe-1")
        assert json.loads(properties["thresholds"]) == facts["thresholds"]
        assert json.loads(properties["genres"]) == facts["genres"]


def test_the_example_of_the_page_needs_no_tensorflow(
    root: Path, tmp_path: Path, write_cover: Write
) -> None:
    """Exactly as it is printed; for a PNG, of which both decode the same pixels."""
    page = (ROOT / "docs" / "export.md").read_text()
    (code,) = re.findall(r"```python\n(.*?)```", page, re.DOTALL)
    output = tmp_path / "model.onnx"
    assert _export("--format", "onnx", "--pipeline-root", root, "--output", output)[0] == 0
    cover = write_cover(tmp_path / "cover.png", 3, side=2 * SIDE + 9)
    done = subprocess.run(
        [sys.executable, "-c", code, output, cover], capture_output=True, text=True, check=True
    )
    served = tf.saved_model.load(str(root / "covers" / "serving" / "8")).signatures
    expected = served[SERVING_SIGNATURE](image_bytes=tf.constant([cover.read_bytes()]))
    received: dict[str, float] = json.loads(done.stdout.replace("'", '"'))
    assert list(received) == list(GENRES)
    np.testing.assert_allclose(
        list(received.values()), expected["probabilities"].numpy()[0], atol=1e-5
    )


@pytest.mark.parametrize("name", FORMATS)
def test_a_model_that_answers_differently_is_not_written(
    name: str, root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    output = tmp_path / "model"
    output.write_text("an earlier one")
    load = type(formats.FORMATS[name]).load

    def skewed(self: Any, model: Path) -> formats.Answer:
        answer = load(self, model)
        return lambda pixels: answer(pixels) + np.float32(0.001)

    monkeypatch.setattr(type(formats.FORMATS[name]), "load", skewed)
    code, _, stderr = _export("--format", name, "--pipeline-root", root, "--output", output)
    assert code == 1
    assert "within 0.0001" in stderr
    assert "difference of 0.001" in stderr
    assert [file.name for file in tmp_path.iterdir()] == ["model"]
    assert output.read_text() == "an earlier one"


@pytest.mark.parametrize(
    ("difference", "decisions", "passes"),
    [(1e-4, 0, True), (1.1e-4, 0, False), (0.0, 1, False), (float("nan"), 0, False)],
)
def test_what_counts_as_equal(difference: float, decisions: int, passes: bool) -> None:
    parity = Parity(8, difference, decisions, 1.0, 1.0)
    if passes:
        parity.require("ONNX Runtime")
    else:
        with pytest.raises(Exception, match=r"Expected ONNX Runtime .* Received"):
            parity.require("ONNX Runtime")


def _without_pixels(folder: Path, model: Path) -> Path:
    """Writes a model as they were before they took pixels."""
    module = tf.Module()
    module.serve = tf.function(
        lambda image_bytes: {"probabilities": tf.zeros([tf.size(image_bytes), 3])},
        input_signature=[tf.TensorSpec([None], tf.string, name="image_bytes")],
    )
    tf.saved_model.save(module, str(folder), {SERVING_SIGNATURE: module.serve})
    description = dataclasses.replace(read_model_description(model), files={})
    write_model_description(folder, description)
    return folder


def test_models_that_cannot_be_converted_are_refused(
    root: Path, model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "out"
    out.mkdir()
    older = _without_pixels(tmp_path / "older", model)
    damaged = shutil.copytree(model, tmp_path / "damaged")
    (damaged / "saved_model.pb").write_bytes(b"no model")
    serving = root / "covers" / "serving"
    refused = {
        (1, "signature serve_pixels"): ("--model", older),
        (1, "not the file that was exported"): ("--model", damaged),
        (1, "Received: 8, 7"): ("--pipeline-root", root, "--version", "9"),
        (1, "Received: no version"): ("--destination", tmp_path, "--version", "9"),
        (1, "Expected a pushed model in"): ("--destination", tmp_path),
        (1, "Expected pushed models below"): ("--pipeline-root", tmp_path),
        (2, "Give --model or --version"): ("--model", model, "--version", "7"),
        (2, "without a key, password"): ("--destination", "s3://key:secret@bucket/serving"),
        (2, "Expected at least 8 covers"): ("--destination", serving, "--covers", older),
    }
    for (exit_code, message), arguments in refused.items():
        code, _, stderr = _export("--format", "onnx", "--output", out / "m.onnx", *arguments)
        assert message in stderr
        assert code == exit_code
    code, _, stderr = _export("--format", "onnx", "--model", model, "--output", out)
    assert (code, "--output to be a file" in stderr) == (2, True)

    def unknown(*_: object, **__: object) -> None:
        raise ValueError("operation Mystery is not supported\nand more")

    monkeypatch.setattr(formats.Onnx, "convert", unknown)
    code, _, stderr = _export("--format", "onnx", "--model", model, "--output", out / "m.onnx")
    assert (code, "ValueError, operation Mystery is not supported" in stderr) == (1, True)
    assert not list(out.iterdir())


def test_missing_packages_are_named_with_what_brings_them(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    find = formats.importlib.util.find_spec
    monkeypatch.setattr(
        formats.importlib.util,
        "find_spec",
        lambda name, *rest: None if name == "tf2onnx" else find(name, *rest),
    )
    code, _, stderr = _export("--format", "onnx", "--pipeline-root", root)
    assert code == 2
    assert "Received: no tf2onnx. Install them: pip install 'covers[onnx]'." in stderr


def test_what_killed_exports_left_is_removed_once_it_is_old(tmp_path: Path) -> None:
    output = tmp_path / "covers.onnx"
    old, new, other = (
        tmp_path / name
        for name in (".covers.onnx.1.partial", ".covers.onnx.2.partial", ".x.onnx.1.partial")
    )
    for folder in (old, new, other):
        folder.mkdir()
        (folder / "covers.onnx").write_bytes(b"half")
    for folder in (old, other):
        os.utime(folder, (0, 0))
    with command._written_aside(output) as (file, beside):
        file.write_bytes(b"model")
        beside.write_bytes(b"{}")
    assert sorted(tmp_path.glob(".*")) == [new, other]
    assert output.read_bytes() == b"model"
