from __future__ import annotations

import subprocess
import sys

import pytest
from pydantic import ValidationError

from components.support.errors import ConfigError
from components.trainer.config import EarlyStopping, TrainerConfig, name_and_kwargs


def test_defaults_are_the_original_network():
    names = [name_and_kwargs(layer)[0] for layer in TrainerConfig().layers]
    assert names == ["Rescaling", *["Conv2D", "MaxPooling2D"] * 4, "Flatten", "Dense"]
    assert TrainerConfig().loss == {"binary_crossentropy": {}}
    assert TrainerConfig().augmentation == ()


@pytest.mark.parametrize("spelling", ["Flatten", {"Flatten": None}, {"Flatten": {}}])
def test_names_take_arguments_or_none(spelling):
    assert TrainerConfig(layers=[spelling]).layers == ({"Flatten": {}},)


def test_json_round_trip(small_config):
    assert TrainerConfig.from_json(small_config.model_dump_json()) == small_config


def test_is_frozen():
    with pytest.raises(ValidationError):
        TrainerConfig().epochs = 3


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("epoch", 3, "Extra inputs are not permitted"),
        ("image_size", 0, "greater than or equal to 8"),
        ("layers", [{"Dense": {}, "ReLU": {}}], "Expected a name"),
        ("layers", [{"Dense": 8}], "Expected the keyword arguments of Dense"),
        ("layers", [3], "Received: 3"),
        ("decision_thresholds", 1.5, "less than 1"),
        ("decision_thresholds", "best", "best_f1"),
        ("early_stopping", {"monitor": "val_accuracy"}, "val_macro_roc_auc"),
        ("learning_rate_schedule", {"name": "constant", "warmup_epochs": 1}, "cosine schedule"),
        ("learning_rate_schedule", {"name": "cosine", "warmup_epochs": 99}, "below epochs=20"),
    ],
)
def test_mistakes_are_named(field, value, message):
    with pytest.raises(ValidationError, match=message) as caught:
        TrainerConfig.model_validate({field: value})
    assert field in str(caught.value)


def test_from_json_raises_config_error_that_names_the_field():
    with pytest.raises(ConfigError) as caught:
        TrainerConfig.from_json('{"epochs": 0, "sed": 1}')
    assert str(caught.value).splitlines() == [
        "Expected valid options of trainer. Received:",
        "  trainer.epochs: Expected a value greater than or equal to 1. Received: 0.",
        "  trainer.sed: Expected a known option. Received: 'sed'. Did you mean trainer.seed?",
    ]
    with pytest.raises(ConfigError, match="Invalid JSON"):
        TrainerConfig.from_json("{")


def test_a_wrong_option_of_a_backbone_is_found_where_it_is():
    with pytest.raises(ConfigError, match=r"trainer\.backbone\.fetures: .*backbone\.features\?"):
        TrainerConfig.from_fields({"backbone": {"name": "EfficientNetLite0", "fetures": "maps"}})
    with pytest.raises(ConfigError, match=r"trainer\.backbone\.0\.name: Expected a value"):
        TrainerConfig.from_fields({"backbone": [{"weights": "none"}]})


def test_an_option_that_another_kind_of_backbone_has_is_not_suggested_again():
    with pytest.raises(ConfigError) as caught:
        TrainerConfig.from_fields({"backbone": {"name": "ImageStatistics", "fine_tune": "none"}})
    assert str(caught.value).splitlines()[1:] == [
        "  trainer.backbone.fine_tune: Expected a known option. Received: 'fine_tune'. Another "
        "kind of backbone has it: leave it out here."
    ]


@pytest.mark.parametrize("value", [float("inf"), float("nan"), 0.0])
@pytest.mark.parametrize("option", ["gamma", "penalty"])
def test_a_kernel_has_finite_options(option, value):
    with pytest.raises(ConfigError, match=rf"trainer\.kernel\.{option}: Expected"):
        TrainerConfig.from_fields({"backbone": "ImageStatistics", "kernel": {option: value}})


@pytest.mark.parametrize(("monitor", "mode"), [("val_loss", "min"), ("val_macro_roc_auc", "max")])
def test_direction_follows_from_the_monitor(monitor, mode):
    assert EarlyStopping(monitor=monitor).mode == mode


def test_schedule_may_be_just_a_name():
    assert TrainerConfig(learning_rate_schedule="cosine").learning_rate_schedule.name == "cosine"


def test_config_and_signatures_import_without_tensorflow():
    code = (
        "import sys, components.trainer.config, components.contracts.signatures; "
        "sys.exit('tensorflow' in sys.modules or 'keras' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


@pytest.mark.parametrize("option", ["checkpoint_folder", "feature_folder"])
@pytest.mark.parametrize(
    ("location", "known"),
    [
        ("checkpoints", True),
        ("/mnt/checkpoints", True),
        ("C:\\checkpoints", True),
        ("s3://bucket/state", True),
        ("gs://bucket/state", True),
        ("simplecache::s3://bucket/state", True),
        ("foo://bucket/state", False),
        ("minio://bucket/state", False),
        ("S3://bucket/state", False),
        ("simplecache::foo://bucket", False),
        ("file:///mnt/checkpoints", False),
        ("://bucket", False),
    ],
)
def test_a_lasting_folder_is_a_path_or_a_url_that_something_opens(
    option: str, location: str, known: bool
) -> None:
    if known:
        assert getattr(TrainerConfig.from_fields({option: location}), option) == location
        return
    with pytest.raises(ConfigError, match=f"trainer.{option}: Expected a folder.*{location}"):
        TrainerConfig.from_fields({option: location})
