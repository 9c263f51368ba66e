from __future__ import annotations

import json
from types import SimpleNamespace

import pytest

from components.support.errors import ConfigError
from components.trainer.config import Range, TrainerConfig, TunerConfig
from components.trainer.tuning import (
    search_space,
    tuner_fn,
    with_hyperparameters,
    with_values,
)


def test_values_go_to_their_places(small_config):
    changed = with_values(
        small_config, {"optimizer.AdamW.learning_rate": 0.5, "layers.6.Dropout.rate": 0.4}
    )
    assert changed.optimizer == {"AdamW": {"learning_rate": 0.5}}
    assert changed.layers[6] == {"Dropout": {"rate": 0.4}}
    assert with_hyperparameters(small_config, None) == small_config
    assert with_hyperparameters(small_config, {"values": {"epochs": 7}}).epochs == 7


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"optimiser.lr": 1}, "'optimiser.lr', in which 'optimiser' does not exist"),
        ({"layers.99.Dropout.rate": 0.1}, "does not exist"),
        ({"epochs": -1}, "trainer.epochs: Expected a value greater"),
    ],
)
def test_wrong_places_and_values_are_config_errors(small_config, values, message):
    with pytest.raises(ConfigError, match=message):
        with_values(small_config, values)


def test_the_default_space_lies_around_the_configuration(small_config):
    space = search_space(small_config, TunerConfig())
    assert set(space) == {"optimizer.AdamW.learning_rate", "layers.6.Dropout.rate"}
    rate = space["optimizer.AdamW.learning_rate"]
    assert isinstance(rate, Range) and rate.scale == "log"
    assert rate.min < 0.01 < rate.max
    with pytest.raises(ConfigError, match="an optimizer with a learning rate"):
        search_space(TrainerConfig(optimizer="SGD"), TunerConfig())


@pytest.mark.parametrize("option", ["kernel", "kernel.gamma"])
def test_what_no_trial_measures_is_not_searched(option):
    with pytest.raises(ConfigError, match=rf"tuner\.search_space: .*kernel.*Received: {option}"):
        TunerConfig.from_fields({"search_space": {"epochs": [1, 2], option: [0.5, 1.0]}})


@pytest.mark.slow
def test_tfx_tuner_finds_the_better_of_two_values(covers, small_config, tmp_path):
    """A rate of 1e-30 learns nothing, so any other wins; Trainer takes it over."""
    config = TrainerConfig.model_validate({**small_config.model_dump(), "epochs": 2})
    tuner = {
        "trials": 2,
        "epochs": 2,
        "algorithm": "random",
        "objective": "val_loss",
        "search_space": {"optimizer.AdamW.learning_rate": [1e-30, 0.01]},
    }
    result = tuner_fn(
        SimpleNamespace(
            train_files=covers.patterns("train"),
            eval_files=covers.patterns("eval"),
            schema_path=str(covers.schema_path),
            working_dir=str(tmp_path),
            custom_config={"config": json.loads(config.model_dump_json()), "tuner": tuner},
        )
    )
    result.tuner.search(**result.fit_kwargs)
    best = result.tuner.get_best_hyperparameters()[0].get_config()
    tuned = with_hyperparameters(config, json.loads(json.dumps(best)))
    assert tuned.optimizer["AdamW"]["learning_rate"] == 0.01
