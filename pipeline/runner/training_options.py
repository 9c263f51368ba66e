"""What the Trainer and Tuner nodes pass to `run_fn` and `tuner_fn`.

On Kubeflow Pipelines, what the Trainer passes is the parameter `training`.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from components.support.file_systems import fingerprint_file
from pipeline.config import PipelineConfig
from pipeline.runner.fingerprints import fingerprint_code


def training_options(
    config: PipelineConfig, checkpoint_folder: str = "", feature_folder: str = ""
) -> dict[str, Any]:
    """Returns the `custom_config` of the Trainer node, ready for JSON.

    Args:
        config: what the pipeline does.
        checkpoint_folder: a folder that outlives the run, for training checkpoints; empty if
            there is none.
        feature_folder: the same for the features of frozen backbones.
    """
    return {
        **_options(config, feature_folder),
        "checkpoint_folder": checkpoint_folder,
        "background": config.ingest.background,
    }


def tuning_options(config: PipelineConfig, feature_folder: str = "") -> dict[str, Any]:
    """Returns the `custom_config` of the Tuner node, ready for JSON; empty without a tuner.

    Args:
        config: what the pipeline does.
        feature_folder: as in `training_options`: the Trainer then finds what the Tuner computed.
    """
    if config.tuner is None:
        return {}
    return {**_options(config, feature_folder), "tuner": config.tuner.model_dump(mode="json")}


def _options(config: PipelineConfig, feature_folder: str) -> dict[str, Any]:
    files = {each.weights for each in config.trainer.backbone if Path(each.weights).is_file()}
    return {
        "config": config.trainer.model_dump(mode="json"),
        "code_fingerprint": fingerprint_code("trainer"),
        # TFX's cache would not notice other weights at the same path.
        "weights_fingerprints": {file: fingerprint_file(file) for file in sorted(files)},
        "feature_folder": feature_folder,
    }
