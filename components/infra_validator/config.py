"""What a user can set about the check of the exported model."""

from __future__ import annotations

from typing import Final, Literal

from pydantic import Field, field_validator

from components.support.options import Options

Loader = Literal["session", "python"]
SESSION: Final = "session"
PYTHON: Final = "python"


class InfraValidatorConfig(Options):
    """What the exported model must do before it is pushed; null is no bound.

    The defaults catch a model that no server could offer, on a slow machine that others share,
    too. Set what your servers promise.

    Attributes:
        loaders: what loads the model, each in a process of its own: `session` is TensorFlow's C
            API, as TensorFlow Serving and KServe use it, and takes a second; `python` is
            `tf.saved_model.load`, and takes as long as TensorFlow's import besides.
        requests: how many covers of the test split are asked about, as far as there are that many.
        max_difference: how far a probability may be from the evaluation's, and the two loaders'
            from each other.
        max_load_seconds: time to load the model, seconds.
        max_latency_ms: 95th percentile of the time to answer for one cover, milliseconds.
        max_memory_mb: greatest resident memory of a process that has loaded the model twice, as
            a server does while versions change, in 10^6 bytes.
        max_seconds: time for everything that one loader is asked, seconds, after which its process
            is killed and the run fails, without a verdict on the model.
    """

    SECTION = "infra_validator"

    loaders: tuple[Loader, ...] = Field(default=(SESSION, PYTHON), min_length=1)
    requests: int = Field(default=32, ge=1, le=1_000)
    max_difference: float = Field(default=1e-5, gt=0.0, lt=1.0)
    max_load_seconds: float | None = Field(default=120.0, gt=0.0, allow_inf_nan=False)
    max_latency_ms: float | None = Field(default=10_000.0, gt=0.0, allow_inf_nan=False)
    max_memory_mb: float | None = Field(default=8_000.0, gt=0.0, allow_inf_nan=False)
    max_seconds: float | None = Field(default=900.0, gt=0.0, allow_inf_nan=False)

    @field_validator("loaders")
    @classmethod
    def _check_loaders(cls, loaders: tuple[Loader, ...]) -> tuple[Loader, ...]:
        if len(set(loaders)) < len(loaders):
            raise ValueError(f"Expected each loader once. Received: {', '.join(loaders)}.")
        return loaders
