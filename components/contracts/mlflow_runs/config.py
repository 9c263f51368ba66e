"""The options: where runs are logged in MLflow, and what of them."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from pydantic import BeforeValidator, Field

from components.support.credentials import without_credentials
from components.support.options import Options

TRACKING_VARIABLE = "MLFLOW_TRACKING_URI"


class MlflowConfig(Options):
    """Where runs are logged in MLflow; credentials are MLflow's own environment variables.

    Attributes:
        tracking_uri: URL of a tracking server, or a folder; null takes the environment variable
            MLFLOW_TRACKING_URI or, without it, the folder `mlruns` in the pipeline root.
        experiment: name of the experiment; null takes the name of the pipeline.
        models: the models that are logged with their runs: `all`, those that were `pushed`, or
            `none`.
    """

    SECTION = "mlflow"

    tracking_uri: Annotated[Path | str | None, BeforeValidator(without_credentials)] = None
    experiment: str | None = Field(default=None, min_length=1, max_length=250)
    models: Literal["all", "pushed", "none"] = "all"
