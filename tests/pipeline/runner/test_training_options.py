from __future__ import annotations

import json
from pathlib import Path

import pytest

from pipeline.config import PipelineConfig, load_config
from pipeline.runner.training_options import training_options, tuning_options


@pytest.fixture
def weights(tmp_path: Path) -> Path:
    path = tmp_path / "lite0.pth"
    path.write_bytes(b"first")
    return path


@pytest.fixture
def config(weights: Path) -> PipelineConfig:
    backbones = ["{name: EfficientNetLite1, features: stages, fine_tune: none}"]
    backbones += [
        f"{{name: EfficientNetLite0, features: stages, fine_tune: none, weights: {weights}}}"
    ]
    return load_config("covers", [f"trainer.backbone=[{', '.join(backbones)}]", "tuner.trials=2"])


@pytest.mark.parametrize("options", [training_options, tuning_options])
def test_other_weights_at_the_same_path_are_other_options(options, config, weights):
    first = options(config)
    assert options(config) == first
    weights.write_bytes(b"other")
    again = options(config)
    name = "weights_fingerprints"
    assert first[name].keys() == again[name].keys() == {str(weights)}
    assert first[name] != again[name]
    assert {**first, name: {}} == {**again, name: {}}


def test_weights_that_are_no_file_here_have_no_content_to_compare():
    assert training_options(load_config("covers"))["weights_fingerprints"] == {}


def test_folders_are_handed_over_and_all_is_ready_for_json(config):
    options = training_options(config, "/root/checkpoints", "/root/features")
    assert options["checkpoint_folder"] == "/root/checkpoints"
    assert options["feature_folder"] == "/root/features"
    tuning = tuning_options(config, "/root/features")
    assert tuning["feature_folder"] == "/root/features"
    assert tuning["tuner"]["trials"] == 2
    assert json.loads(json.dumps([options, tuning])) == [options, tuning]


def test_without_a_tuner_it_has_no_options():
    assert tuning_options(load_config("covers")) == {}


def test_the_model_learns_the_background_of_its_covers() -> None:
    config = load_config("sample", ["ingest.background='#ff8000'"])
    assert training_options(config)["background"] == "#ff8000"
