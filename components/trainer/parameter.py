"""The parameter `training` of a run: what the pipeline passes to the Trainer, checked, not assumed.

A run on Kubeflow Pipelines receives it as text, from whoever starts the run.
"""

from __future__ import annotations

from pydantic import Field

from components.contracts.backgrounds import BACKGROUND_PATTERN, DEFAULT_BACKGROUND
from components.support.options import Options
from components.trainer.config import LastingFolder, TrainerConfig

_EXPECTED = (
    "the parameter `training` to be what `covers compile` wrote, its options changed with "
    "`--set trainer.KEY=VALUE`"
)


class TrainingParameter(Options):
    """The `custom_config` of the Trainer node.

    Attributes:
        config: the trainer's options.
        code_fingerprint: hash of the training code, part of the recipe of a model.
        weights_fingerprints: file or folder of a backbone -> hash of its content.
        checkpoint_folder: where checkpoints outlive a killed training run: a folder, or the URL of
            one in an object store; empty if there is none.
        feature_folder: a folder that keeps the features of frozen backbones, likewise.
        background: colour below the transparent pixels of an image, as `#rrggbb`.
    """

    SECTION = "training"

    config: TrainerConfig
    code_fingerprint: str
    weights_fingerprints: dict[str, str] = Field(default={})
    checkpoint_folder: LastingFolder = ""
    feature_folder: LastingFolder = ""
    background: str = Field(default=DEFAULT_BACKGROUND, pattern=BACKGROUND_PATTERN)

    @classmethod
    def from_text(cls, text: str) -> TrainingParameter:
        """Reads the parameter of a run.

        Raises:
            ConfigError: it is not JSON, or an option is missing, unknown or wrong.
        """
        return cls.from_json(text, _EXPECTED)

    @classmethod
    def from_custom_config(cls, fields: object) -> TrainingParameter:
        """Reads what TFX's Trainer passes on; raises as `from_text` does."""
        return cls.from_fields(fields, _EXPECTED)
