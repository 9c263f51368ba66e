"""Backbones from files in a compiled pipeline: at a URL, on a volume, or here and in the image."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from components.support.errors import ConfigError
from pipeline.config import PipelineConfig, load_config
from pipeline.kubeflow.backbones import backbones_are_here
from pipeline.kubeflow.compile import compile_pipeline
from pipeline.kubeflow.run_inputs import default_parameters

_VOLUME = "{volumes: [{name: encoders, path: /encoders}]}"


def config(tiny_config: Path, location: str, *more: str) -> PipelineConfig:
    backbone = f"trainer.backbone={{keras_hub: '{location}'}}"
    return load_config(tiny_config, [backbone, "trainer.layers=[{Dense: {units: 4}}]", *more])


def test_a_url_is_left_to_the_tasks(tiny_config: Path) -> None:
    given = config(tiny_config, "s3://nowhere/siglip")
    assert not backbones_are_here(given)
    training = json.loads(default_parameters(given)["training"])
    (backbone,) = training["config"]["backbone"]
    assert backbone["keras_hub"] == "s3://nowhere/siglip"
    assert training["weights_fingerprints"] == {}


def test_a_path_is_below_a_volume_of_all_tasks_that_read_it_or_here(
    tiny_config: Path, tmp_path: Path
) -> None:
    refused = r"a volume of Trainer, .*Received: /encoders/siglip.* volumes of Trainer at no path"
    with pytest.raises(ConfigError, match=refused):
        backbones_are_here(config(tiny_config, "/encoders/siglip"))
    on_trainer = f"kubeflow.tasks={{Trainer: {_VOLUME}}}"
    assert not backbones_are_here(config(tiny_config, "/encoders/siglip", on_trainer))
    with pytest.raises(ConfigError, match="below a volume of Tuner"):
        backbones_are_here(config(tiny_config, "/encoders/siglip", on_trainer, "tuner.trials=2"))
    everywhere = f"kubeflow.all_tasks={_VOLUME}"
    assert not backbones_are_here(
        config(tiny_config, "/encoders/siglip", everywhere, "tuner.trials=2")
    )
    with pytest.raises(ConfigError, match="volumes of Trainer at /encoders"):
        backbones_are_here(config(tiny_config, "/elsewhere", on_trainer))
    assert backbones_are_here(config(tiny_config, str(tmp_path)))
    assert backbones_are_here(load_config(tiny_config))


def test_what_is_here_is_checked_before_it_is_compiled(tiny_config: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"without config\.json"):
        compile_pipeline(config(tiny_config, str(tmp_path)))
