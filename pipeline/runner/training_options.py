"""What the Trainer and Tuner nodes pass to `run_fn` and `tuner_fn`.

On Kubeflow Pipelines, what the Trainer passes is the parameter `training`.
"""

from __future__ import annotations

from typing import Any

from components.support.file_systems import is_url
from components.trainer.foundation.files import fingerprint
from pipeline.config import PipelineConfig
from pipeline.runner.fingerprints import fingerprint_code


def training_options(
    config: PipelineConfig,
    checkpoint_folder: str = "",
    feature_folder: str = "",
    *,
    asks_stores: bool = True,
) -> dict[str, Any]:
    """Returns the `custom_config` of the Trainer node, ready for JSON.

    Args:
        config: what the pipeline does.
        checkpoint_folder: a folder that outlives the run, for training checkpoints; empty if
            there is none.
        feature_folder: the same for the features of frozen backbones.
        asks_stores: whether a backbone in an object store is looked at, too.

    Raises:
        ConfigError: there is no backbone at its URL.
        DeploymentError: the object store refused or failed.
    """
    return {
        **_options(config, feature_folder, asks_stores),
        "checkpoint_folder": checkpoint_folder,
        "background": config.ingest.background,
    }


def tuning_options(
    config: PipelineConfig, feature_folder: str = "", *, asks_stores: bool = True
) -> dict[str, Any]:
    """Returns the `custom_config` of the Tuner node, ready for JSON; empty without a tuner.

    Args:
        config: what the pipeline does.
        feature_folder: as in `training_options`: the Trainer then finds what the Tuner computed.
        asks_stores: likewise; raises as `training_options` does.
    """
    if config.tuner is None:
        return {}
    options = _options(config, feature_folder, asks_stores)
    return {**options, "tuner": config.tuner.model_dump(mode="json")}


def _options(config: PipelineConfig, feature_folder: str, asks_stores: bool) -> dict[str, Any]:
    files = {each.file for each in config.trainer.backbone if each.file}
    contents = {
        file: fingerprint(file) for file in sorted(files) if asks_stores or not is_url(file)
    }
    return {
        "config": config.trainer.model_dump(mode="json"),
        "code_fingerprint": fingerprint_code("trainer"),
        # TFX's cache would not notice other weights at the same path.
        "weights_fingerprints": {file: found for file, found in contents.items() if found},
        "feature_folder": feature_folder,
    }
