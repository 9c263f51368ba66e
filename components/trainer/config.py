"""The trainer's configuration: typed, validated and free of TensorFlow."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, model_validator

from components.errors import ConfigError

MONITORS: dict[str, Literal["min", "max"]] = {
    "val_loss": "min",
    "val_hamming_loss": "min",
    "val_exact_match_ratio": "max",
    "val_macro_roc_auc": "max",
}
DEFAULT_THRESHOLD = 0.5


def _name_with_kwargs(value: Any) -> Any:
    """Reads `Flatten`, `{Flatten: null}` and `{Dense: {units: 8}}` into one form."""
    if isinstance(value, str):
        value = {value: {}}
    if not isinstance(value, dict) or len(value) != 1:
        raise ValueError(
            "Expected a name, or one name with its keyword arguments, such as "
            f"{{Dense: {{units: 8}}}}. Received: {value!r}"
        )
    name, kwargs = next(iter(value.items()))
    if not isinstance(name, str) or not isinstance(kwargs, dict | None):
        raise ValueError(
            f"Expected the keyword arguments of {name} as a mapping, such as {{units: 8}}. "
            f"Received: {kwargs!r}"
        )
    return {name: kwargs or {}}


Named = Annotated[dict[str, dict[str, Any]], BeforeValidator(_name_with_kwargs)]


def name_and_kwargs(named: dict[str, dict[str, Any]]) -> tuple[str, dict[str, Any]]:
    """Splits `{Dense: {units: 8}}` into `("Dense", {"units": 8})`."""
    return next(iter(named.items()))


def _original_layers() -> tuple[dict[str, dict[str, Any]], ...]:
    convolutions: list[dict[str, dict[str, Any]]] = []
    for filters in (32, 64, 128, 128):
        convolutions += [
            {"Conv2D": {"filters": filters, "kernel_size": 3, "activation": "relu"}},
            {"MaxPooling2D": {"pool_size": 2}},
        ]
    return (
        {"Rescaling": {"scale": 1 / 255}},
        *convolutions,
        {"Flatten": {}},
        {"Dense": {"units": 512, "activation": "relu"}},
    )


class _Model(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class LearningRateSchedule(_Model):
    """How the optimizer's learning rate changes during training.

    Attributes:
        name: `constant`, or `cosine`: half a cosine from the optimizer's rate down to zero.
        warmup_epochs: epochs of linear rise from zero before the cosine begins.
    """

    name: Literal["constant", "cosine"] = "constant"
    warmup_epochs: float = Field(default=0.0, ge=0.0)

    @model_validator(mode="before")
    @classmethod
    def _accept_name(cls, value: Any) -> Any:
        return {"name": value} if isinstance(value, str) else value

    @model_validator(mode="after")
    def _warm_up_needs_cosine(self) -> LearningRateSchedule:
        if self.name == "constant" and self.warmup_epochs:
            raise ValueError(
                "Expected warmup_epochs only with the cosine schedule. "
                f"Received: constant with warmup_epochs={self.warmup_epochs:g}"
            )
        return self


class EarlyStopping(_Model):
    """When to stop before the last epoch; the best epoch's weights are restored.

    Attributes:
        monitor: the metric to watch; its direction follows from its name.
        patience: epochs without improvement before training stops.
    """

    monitor: Literal[
        "val_loss", "val_hamming_loss", "val_exact_match_ratio", "val_macro_roc_auc"
    ] = "val_macro_roc_auc"
    patience: int = Field(default=10, ge=1)

    @property
    def mode(self) -> Literal["min", "max"]:
        """Whether the monitored metric is better when lower or higher."""
        return MONITORS[self.monitor]


class TrainerConfig(_Model):
    """Everything that shapes training; the defaults are the original network.

    Attributes:
        image_size: side in pixels that covers are resized to.
        batch_size: covers per step.
        epochs: the most passes over the train split.
        seed: fixes initial weights, shuffling, dropout and augmentation.
        layers: Keras layers between the input (float32 pixels, 0 to 255) and the output layer,
            each `{LayerName: {keyword: value}}` or just `LayerName`.
        augmentation: Keras layers, in the same form, applied before `layers` in training only.
        loss: a Keras loss, by name or `{LossName: {keyword: value}}`.
        optimizer: a Keras optimizer, `{OptimizerName: {keyword: value}}`.
        learning_rate_schedule: `constant`, or `{name: cosine, warmup_epochs: 2}`.
        early_stopping: `{monitor, patience}`, or null to train all epochs and keep the last.
        output_bias: `zeros`, or `prior`: the logit of each genre's share of the train split.
        decision_thresholds: one number for all genres, or `best_f1`: per genre, the threshold
            with the highest F1 on the eval split.
        cache: keep decoded covers in memory when they fit.
    """

    image_size: int = Field(default=150, ge=8, le=2048)
    batch_size: int = Field(default=32, ge=1)
    epochs: int = Field(default=20, ge=1)
    seed: int = Field(default=0, ge=0, lt=2**31)
    layers: tuple[Named, ...] = Field(default_factory=_original_layers)
    augmentation: tuple[Named, ...] = ()
    loss: Named = Field(default="binary_crossentropy", validate_default=True)
    optimizer: Named = Field(default={"Adam": {"learning_rate": 0.001}})
    learning_rate_schedule: LearningRateSchedule = LearningRateSchedule()
    early_stopping: EarlyStopping | None = EarlyStopping()
    output_bias: Literal["zeros", "prior"] = "zeros"
    decision_thresholds: Annotated[float, Field(gt=0.0, lt=1.0)] | Literal["best_f1"] = (
        DEFAULT_THRESHOLD
    )
    cache: bool = True

    @model_validator(mode="after")
    def _warm_up_ends_in_time(self) -> TrainerConfig:
        if self.learning_rate_schedule.warmup_epochs >= self.epochs:
            raise ValueError(
                f"Expected warmup_epochs below epochs={self.epochs}. "
                f"Received: {self.learning_rate_schedule.warmup_epochs:g}"
            )
        return self

    @property
    def metric_threshold(self) -> float:
        """The threshold of metrics during training, before any is tuned."""
        tuned = self.decision_thresholds == "best_f1"
        return DEFAULT_THRESHOLD if tuned else float(self.decision_thresholds)

    @classmethod
    def from_json(cls, text: str) -> TrainerConfig:
        """Reads what `model_dump_json` wrote.

        Raises:
            ConfigError: the text is not JSON, or a field is unknown or out of range.
        """
        try:
            return cls.model_validate_json(text)
        except ValidationError as error:
            problems = "; ".join(
                f"{'.'.join(str(part) for part in problem['loc']) or 'trainer'}: {problem['msg']}"
                for problem in error.errors()
            )
            raise ConfigError(
                f"Expected a valid trainer configuration. Received: {problems}."
            ) from error
