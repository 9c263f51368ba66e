from __future__ import annotations

import json

import pytest

from components.support.errors import ConfigError
from components.trainer.parameter import TrainingParameter
from pipeline.config import load_config
from pipeline.runner.training_options import training_options

# What a run may be given in place of what was compiled, and what is said of it.
WRONG = {
    "": "Invalid JSON",
    "{": "Invalid JSON",
    "[" * 100_000: "Invalid JSON",
    "null": "Expected a mapping",
    "7": "Expected a mapping",
    "[]": "Expected a mapping",
    "{}": r"training\.config: Expected a value\. Received: none",
    '{"config": {}}': r"training\.code_fingerprint: Expected a value",
    '{"config": null, "code_fingerprint": ""}': r"training\.config: Expected a mapping",
    '{"config": {"epoch": 3}, "code_fingerprint": ""}': r"Did you mean training\.config\.epochs\?",
    '{"config": {"epochs": "many"}, "code_fingerprint": ""}': r"epochs: Expected .* 'many'",
    '{"config": {"epochs": 0}, "code_fingerprint": ""}': r"epochs: Expected .* Received: 0",
    '{"config": {"layers": 3}, "code_fingerprint": ""}': r"layers: Expected a list.* Received: 3",
    '{"config": {}, "code_fingerprint": "", "epochs": 3}': r"training\.config\.epochs",
    '{"config": {}, "code_fingerprint": "", "background": "red"}': r"background: Expected",
    '{"config": {}, "code_fingerprint": "", "checkpoint_folder": "foo://b"}': (
        r"training\.checkpoint_folder: Expected a folder, or the URL .* Received: foo://b"
    ),
    '{"config": {"feature_folder": "foo://b"}, "code_fingerprint": ""}': (
        r"training\.config\.feature_folder: Expected a folder, or the URL .* Received: foo://b"
    ),
}


@pytest.mark.parametrize("name", ["sample", "covers", "scratch", "cnn"])
def test_it_is_what_the_pipeline_passes_to_the_trainer(name: str) -> None:
    config = load_config(name)
    parameter = TrainingParameter.from_text(json.dumps(training_options(config, "/checkpoints")))
    assert parameter.config == config.trainer
    assert parameter.checkpoint_folder == "/checkpoints"


@pytest.mark.parametrize("text", WRONG, ids=lambda text: text[:40] or "empty")
def test_anything_else_is_refused_by_name(text: str) -> None:
    with pytest.raises(ConfigError, match=f"(?s)Expected the parameter `training`.*{WRONG[text]}"):
        TrainingParameter.from_text(text)


def test_the_trainer_refuses_it_in_the_same_words() -> None:
    with pytest.raises(ConfigError) as as_text:
        TrainingParameter.from_text("{}")
    with pytest.raises(ConfigError) as as_custom_config:
        TrainingParameter.from_custom_config({})
    assert str(as_text.value) == str(as_custom_config.value)
