from __future__ import annotations

import dataclasses
import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import tensorflow as tf
from click.testing import CliRunner
from selenium import webdriver

from components.contracts.signatures import (
    SERVING_SIGNATURE,
    read_model_description,
    write_model_description,
)
from pipeline.cli import main
from pipeline.commands.why import command
from tests.pipeline.tiny_models import export_tiny_model

HARM = "<img src=x onerror=window.harmed=1>"
GENRES = ("electronic", HARM, "rock")
Write = Callable[..., Path]


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return export_tiny_model(tmp_path_factory.mktemp("exported") / "model", GENRES)


def _run(*arguments: str | Path) -> tuple[int, str, str]:
    result = CliRunner().invoke(main, list(map(str, arguments)))
    assert not result.exception or isinstance(result.exception, SystemExit), result.exception
    return result.exit_code, result.stdout, result.stderr


def test_it_says_what_predict_says_and_where_that_comes_from(
    model: Path, tmp_path: Path, write_cover: Write
) -> None:
    covers = [write_cover(tmp_path / f"{seed}.jpg", seed) for seed in (1, 2)]
    code, predicted, _ = _run("predict", "--model", model, "--json", *covers)
    assert code == 0
    code, explained, _ = _run("why", "--model", model, "--json", *covers)
    assert code == 0
    for answer, why in zip(predicted.splitlines(), explained.splitlines(), strict=True):
        found = json.loads(why)
        assert {key: found[key] for key in ("image", "genres", "probabilities")} == json.loads(
            answer
        )
        assert set(found["heat_maps"]) == set(GENRES)
        assert [len(row) for row in found["heat_maps"]["rock"]["log_odds"]] == [8] * 8
    code, shown, _ = _run("why", "--model", model, covers[0])
    assert code == 0
    first = json.loads(explained.splitlines()[0])
    assert f"{covers[0]}: " in shown
    for genre in first["genres"]:
        assert f"{genre} rests on " in shown
        assert f"{first['probabilities'][genre]:.2f}  needs 0.50  decided" in shown


def test_what_cannot_be_explained_is_refused(
    model: Path, tmp_path: Path, write_cover: Write, monkeypatch: pytest.MonkeyPatch
) -> None:
    cover = write_cover(tmp_path / "cover.jpg", 1)
    (tmp_path / "page.jpg").write_text("<html></html>")
    (tmp_path / "empty").mkdir()
    older = tmp_path / "older"
    module = tf.Module()
    module.serve = tf.function(
        lambda image_bytes: {"probabilities": tf.zeros([tf.size(image_bytes), 3])},
        input_signature=[tf.TensorSpec([None], tf.string, name="image_bytes")],
    )
    tf.saved_model.save(module, str(older), {SERVING_SIGNATURE: module.serve})
    write_model_description(older, dataclasses.replace(read_model_description(model), files={}))
    damaged = shutil.copytree(model, tmp_path / "damaged")
    (damaged / "saved_model.pb").write_bytes(b"no model")
    refused = {
        (1, "signature serve_pixels"): ("--model", older, cover),
        (1, "not the file that was exported"): ("--model", damaged, cover),
        (1, "Expected pushed models below"): ("--pipeline-root", tmp_path, cover),
        (2, "--model, or --destination"): ("--model", model, "--destination", tmp_path, cover),
        (2, "no cover in"): ("--model", model, tmp_path / "empty"),
        (2, "Expected a file for the page"): ("--model", model, cover, "--output", tmp_path),
        (3, "1 of 2 that cannot"): ("--model", model, tmp_path / "page.jpg", cover),
        (3, "missing_file"): ("--model", model, tmp_path / "gone.jpg"),
    }
    for (exit_code, message), arguments in refused.items():
        code, _, stderr = _run("why", *arguments)
        assert message in stderr
        assert code == exit_code
    monkeypatch.setattr(command, "MOST_COVERS", 1)
    code, _, stderr = _run("why", "--model", model, cover, cover)
    assert (code, "Expected at most 1 covers" in stderr) == (2, True)


@pytest.mark.parametrize("size", [(1280, 900), (390, 844)])
def test_the_page_is_whole_in_a_browser(
    model: Path,
    tmp_path: Path,
    write_cover: Write,
    browser: webdriver.Chrome,
    size: tuple[int, int],
) -> None:
    cover = write_cover(tmp_path / f"{HARM}.jpg", 1)
    page = tmp_path / "why.html"
    code, shown, _ = _run("why", "--model", model, "--output", page, cover)
    assert code == 0
    assert f"page: {page}" in shown
    browser.execute_cdp_cmd(
        "Emulation.setDeviceMetricsOverride",
        {"width": size[0], "height": size[1], "deviceScaleFactor": 1, "mobile": size[0] < 400},
    )
    browser.get_log("browser")
    browser.get(page.as_uri())
    assert browser.get_log("browser") == []
    assert browser.execute_script("return performance.getEntriesByType('resource').length") == 0
    assert browser.execute_script("return window.harmed") is None
    assert browser.execute_script("return document.documentElement.scrollWidth") == size[0]
    pictures = browser.execute_script(
        "return [...document.images].map((image) => [image.naturalWidth, image.alt])"
    )
    assert len(pictures) >= 2
    assert all(width == 264 and alt for width, alt in pictures)
    assert HARM in browser.execute_script("return document.body.textContent")
