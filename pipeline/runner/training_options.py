"""What the Trainer node passes to `run_fn`; on Kubeflow Pipelines, the parameter `training`."""

from __future__ import annotations

from typing import Any

from pipeline.config import PipelineConfig
from pipeline.runner.fingerprints import fingerprint_code


def training_options(config: PipelineConfig, checkpoint_folder: str = "") -> dict[str, Any]:
    """Returns the `custom_config` of the Trainer node, ready for JSON.

    Args:
        config: what the pipeline does.
        checkpoint_folder: a folder that outlives the run, for training checkpoints; empty if
            there is none.
    """
    return {
        "config": config.trainer.model_dump(mode="json"),
        "code_fingerprint": fingerprint_code("trainer"),
        "checkpoint_folder": checkpoint_folder,
    }
