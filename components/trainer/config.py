"""The trainer's configuration: typed, validated and free of TensorFlow."""

from __future__ import annotations

import re
from collections.abc import Mapping
from types import MappingProxyType
from typing import Annotated, Any, Literal

from pydantic import (
    AfterValidator,
    BeforeValidator,
    Discriminator,
    Field,
    Tag,
    TypeAdapter,
    ValidationError,
    field_validator,
    model_validator,
)

from components.support.file_systems import check_lasting_folder
from components.support.options import Options
from components.trainer.foundation.config import KINDS, FoundationModel

Monitor = Literal[
    "val_loss",
    "val_hamming_loss",
    "val_exact_match_ratio",
    "val_macro_roc_auc",
    "val_macro_average_precision",
]
_FALLING_MONITORS = ("val_loss", "val_hamming_loss")


def _check_address(address: str) -> str:
    host, _, port = address.rpartition(":")
    if not re.fullmatch(r"[A-Za-z0-9._-]+", host) or not port.isdecimal() or int(port) > 65535:
        raise ValueError(f"Expected HOST:PORT, such as gpu-1.example:2222. Received: {address}")
    return address


WorkerAddress = Annotated[str, AfterValidator(_check_address)]
LastingFolder = Annotated[str, AfterValidator(check_lasting_folder)]
ThresholdRule = Literal["best_f1", "label_share"]
CalibrationMethod = Literal["none", "temperature", "platt"]
DEFAULT_THRESHOLD = 0.5
IMAGENET = "imagenet"
NO_WEIGHTS = "none"
IMAGE_STATISTICS = "ImageStatistics"

_NATIVE_IMAGE_SIZES: Mapping[str, int] = MappingProxyType(
    {
        "EfficientNetLite1": 240,
        "EfficientNetLite2": 260,
        "EfficientNetLite3": 280,
        "EfficientNetLite4": 300,
        "EfficientNetB1": 240,
        "EfficientNetB2": 260,
        "EfficientNetB3": 300,
        "EfficientNetB4": 380,
        "EfficientNetB5": 456,
        "EfficientNetB6": 528,
        "EfficientNetB7": 600,
        "EfficientNetV2B1": 240,
        "EfficientNetV2B2": 260,
        "EfficientNetV2B3": 300,
        "EfficientNetV2S": 384,
        "EfficientNetV2M": 480,
        "EfficientNetV2L": 480,
        "InceptionResNetV2": 299,
        "InceptionV3": 299,
        "NASNetLarge": 331,
        "Xception": 299,
    }
)
_USUAL_IMAGE_SIZE = 224
_SIZE_FOR_STATISTICS = 256


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


def _layers_after_a_backbone(maps: bool) -> tuple[dict[str, dict[str, Any]], ...]:
    pooling: tuple[dict[str, dict[str, Any]], ...] = ({"GlobalAveragePooling2D": {}},)
    return (
        *(pooling if maps else ()),
        {"BatchNormalization": {"center": False, "scale": False, "momentum": 0.95}},
        {"Dropout": {"rate": 0.5}},
        {"Dense": {"units": 512, "activation": "relu"}},
        {"Dropout": {"rate": 0.5}},
    )


class _NamedOptions(Options):
    """Options that a name alone may stand for: `cosine` for `{name: cosine}`."""

    @model_validator(mode="before")
    @classmethod
    def _accept_name(cls, value: Any) -> Any:
        return {"name": value} if isinstance(value, str) else value


class LearningRateSchedule(_NamedOptions):
    """How the optimizer's learning rate changes during training.

    Attributes:
        name: `constant`, or `cosine`: half a cosine from the optimizer's rate down to zero.
        warmup_epochs: epochs of linear rise from zero before the cosine begins.
    """

    name: Literal["constant", "cosine"] = "constant"
    warmup_epochs: float = Field(default=0.0, ge=0.0)

    @model_validator(mode="after")
    def _warm_up_needs_cosine(self) -> LearningRateSchedule:
        if self.name == "constant" and self.warmup_epochs:
            raise ValueError(
                "Expected warmup_epochs only with the cosine schedule. "
                f"Received: constant with warmup_epochs={self.warmup_epochs:g}"
            )
        return self


def direction(monitor: Monitor) -> Literal["min", "max"]:
    """Returns whether a metric is better when lower or higher."""
    return "min" if monitor in _FALLING_MONITORS else "max"


class EarlyStopping(Options):
    """When to stop before the last epoch; the best epoch's weights are restored.

    Attributes:
        monitor: the metric to watch; its direction follows from its name.
        patience: epochs without improvement before training stops.
    """

    monitor: Monitor = "val_macro_roc_auc"
    patience: int = Field(default=10, ge=1)

    @property
    def mode(self) -> Literal["min", "max"]:
        """Whether the monitored metric is better when lower or higher."""
        return direction(self.monitor)


class Backbone(_NamedOptions):
    """A pretrained network to start from.

    Attributes:
        name: `EfficientNetLite0` to `4`, or any network of keras.applications.
        weights: `imagenet`; `none` for random weights; or a file: a PyTorch state dict (`.pth`)
            for EfficientNet-lite, else a Keras weights file without the top (`.h5`).
        features: what it passes to the layers after it. `maps`: its last feature maps.
            `stages`: one vector, the mean and standard deviation of each channel at the end of
            each of its stages, so that colours and textures count as well as objects. `style`:
            the same and, at the end of its deepest stage of at most 128 channels, how much each
            pair of channels goes together. `layout`: all that and, at the end of the stage before
            the last, the mean of each channel in each of 3 x 3 parts of the cover.
        fine_tune: `all` its layers, `none`, or the name (or its beginning) of the first one to
            train. Batch normalisation stays frozen.
    """

    name: str
    weights: str = IMAGENET
    features: Literal["maps", "stages", "style", "layout"] = "maps"
    fine_tune: str = "all"

    @property
    def image_size(self) -> int:
        """The side in pixels that the network was trained with."""
        return _NATIVE_IMAGE_SIZES.get(self.name, _USUAL_IMAGE_SIZE)

    @property
    def file(self) -> str | None:
        """The path whose content decides what it computes; None for packages and random weights."""
        return None if self.weights in (IMAGENET, NO_WEIGHTS) else self.weights


class Statistics(_NamedOptions):
    """What can be measured of covers without training, instead of a network or beside one.

    Attributes:
        name: `ImageStatistics`: see `components.trainer.image_statistics`.
    """

    name: Literal["ImageStatistics"]

    @property
    def image_size(self) -> int:
        """A side in pixels at which they were found to tell most."""
        return _SIZE_FOR_STATISTICS

    @property
    def features(self) -> Literal["vector"]:
        """What it passes to the layers after it; see `Backbone.features`."""
        return "vector"

    @property
    def fine_tune(self) -> Literal["none"]:
        """There is nothing to train; see `Backbone.fine_tune`."""
        return "none"

    @property
    def file(self) -> None:
        """No file decides what it computes; see `Backbone.file`."""
        return None


class KernelRidge(Options):
    """Kernel ridge regression on the features of frozen backbones, beside the layers after them.

    Attributes:
        components: principal components of the features that covers are compared by.
        centres: most covers that a cover is compared with; the exported model contains them.
        gamma: how fast similarity falls with distance: `exp(-gamma * squared distance)`, where all
            vectors have length one.
        penalty: on the weights; higher is smoother.
    """

    components: int = Field(default=1024, ge=1)
    centres: int = Field(default=4096, ge=2)
    gamma: float = Field(default=1.0, gt=0.0, le=1_000.0)
    penalty: float = Field(default=0.6, gt=0.0, allow_inf_nan=False)


def _form_of_backbone(value: Any) -> str:
    if isinstance(value, dict) and not {*KINDS}.isdisjoint(value):
        return "file"
    name = value.get("name") if isinstance(value, dict) else value
    if isinstance(value, Statistics) or name == IMAGE_STATISTICS:
        return "statistics"
    return "file" if isinstance(value, FoundationModel) else "network"


AnyBackbone = Backbone | FoundationModel | Statistics
_OneBackbone = Annotated[
    Annotated[Backbone, Tag("network")]
    | Annotated[FoundationModel, Tag("file")]
    | Annotated[Statistics, Tag("statistics")],
    Discriminator(_form_of_backbone),
]
_one_backbone: TypeAdapter[AnyBackbone] = TypeAdapter(_OneBackbone)


def _one_or_more(value: Any) -> Any:
    if value is None:
        return ()
    return (value,) if isinstance(value, str | dict | AnyBackbone) else value


class TrainerConfig(Options):
    """Everything that shapes training; the defaults are those of the original network.

    Attributes:
        image_size: side in pixels that covers are resized to; with a backbone, unless given,
            the side that it was trained with.
        batch_size: covers per step, over all devices and workers.
        epochs: the most passes over the train split.
        seed: fixes initial weights, shuffling, dropout and augmentation.
        backbone: a network to start from, by name, as `Backbone`, or as `FoundationModel`: a
            SavedModel, a `.keras` file or a KerasHub preset; `ImageStatistics`, which no network
            is needed for; or a list of several, whose `stages`, `style` or `layout` features and
            vectors are concatenated; null trains `layers` alone. If no part of it is fine-tuned
            and nothing is augmented, its features of each cover are computed once.
        head_epochs: passes over the features of a backbone that fit the layers after it, before
            the backbone is fine-tuned with them; 0 trains everything from the start.
        layers: Keras layers between the input (float32 pixels, 0 to 255), or the backbone, and
            the output layer, each `{LayerName: {keyword: value}}` or just `LayerName`: a layer
            of Keras, or `ChannelStatistics`, the mean and standard deviation of each channel.
            Unless given: the original network or, after a backbone, one hidden layer with
            dropout.
        kernel: with frozen backbones whose features are vectors, `{components, centres, gamma,
            penalty}` of kernel ridge regression on them: it is fitted beside `layers`, and the
            model predicts from both, weighted by what is most likely on the covers that tune
            thresholds. Null leaves it out.
        augmentation: Keras layers, in the same form, applied to the images in training only.
        loss: a Keras loss, by name or `{LossName: {keyword: value}}`; focal loss is Keras's
            `BinaryFocalCrossentropy`.
        class_weights: `none`, or `balanced`: in the loss, covers of a genre weigh as many times
            more as covers without it are more frequent.
        optimizer: a Keras optimizer, `{OptimizerName: {keyword: value}}`; its own keywords give
            weight decay, clipping, averaged weights (`use_ema`; these are then validated and
            exported) and `gradient_accumulation_steps`.
        learning_rate_schedule: `constant`, or `{name: cosine, warmup_epochs: 2}`.
        early_stopping: `{monitor, patience}`, or null to train all epochs and keep the last.
        output_bias: `zeros`; or `prior`: the logit of each genre's share of the train split, with
            a kernel of zeros, so that the model starts by predicting exactly that share.
        calibration: what makes probabilities as high as covers of the genre are frequent, fitted
            on the eval split before thresholds are tuned: `none`; `temperature`, one scale of all
            logits; or `platt`, a scale and a shift per genre. It is part of the exported model.
        refit: with frozen backbones, train the layers after them once more, on the train and eval
            splits together, for as many epochs as were best on the eval split. Calibration and
            thresholds then follow from all of these covers, each as predicted by layers that were
            trained on four fifths of the others. Only the test split is unseen afterwards.
        decision_thresholds: one number for all genres, or a rule that finds each genre's on the
            eval split: `best_f1`, the highest F1; `label_share`, the genre is decided for the
            share of covers that have it.
        at_least_one_genre: where no probability reaches its threshold, decide the genre that
            comes closest to it.
        precision: of the computation. `mixed_bfloat16` and `mixed_float16` keep weights in
            float32; `auto` takes mixed_float16 on GPUs with tensor cores, float32 elsewhere.
            The exported model is float32 in any case.
        workers: processes that train together, each on its part of every batch; 1 trains in the
            process of the run. See docs/distributed-training.md.
        worker_addresses: `HOST:PORT` of each worker, the first on the machine of the run, the
            others where `covers train-worker` waits; unless given, all are on that machine.
        cache: keep decoded covers in memory when they fit.
        checkpoint_seconds: time between checkpoints within an epoch; there is one after every
            epoch too. A killed training run resumes from the last one. Null writes none.
        checkpoint_folder: a folder that outlives the process, such as a mounted volume, or the
            URL of one in an object store; null uses the pipeline root.
        feature_gigabytes: disk space for the features of frozen backbones. A training run with the
            same backbone reads them; the least recently used ones are removed first. Null keeps
            none.
        feature_folder: a folder where they are kept; null uses the pipeline root where that is a
            folder, and otherwise keeps none.
    """

    SECTION = "trainer"

    image_size: int = Field(default=150, ge=8, le=2048)
    batch_size: int = Field(default=32, ge=1)
    epochs: int = Field(default=20, ge=1)
    seed: int = Field(default=0, ge=0, lt=2**31)
    backbone: Annotated[tuple[_OneBackbone, ...], BeforeValidator(_one_or_more)] = ()
    head_epochs: int = Field(default=8, ge=0)
    layers: tuple[Named, ...] = Field(default_factory=_original_layers)
    kernel: KernelRidge | None = None
    augmentation: tuple[Named, ...] = ()
    loss: Named = Field(default="binary_crossentropy", validate_default=True)
    class_weights: Literal["none", "balanced"] = "none"
    optimizer: Named = Field(default={"Adam": {"learning_rate": 0.001}})
    learning_rate_schedule: LearningRateSchedule = LearningRateSchedule()
    early_stopping: EarlyStopping | None = EarlyStopping()
    output_bias: Literal["zeros", "prior"] = "zeros"
    calibration: CalibrationMethod = "none"
    refit: bool = False
    decision_thresholds: Annotated[float, Field(gt=0.0, lt=1.0)] | ThresholdRule = DEFAULT_THRESHOLD
    at_least_one_genre: bool = False
    precision: Literal["float32", "mixed_bfloat16", "mixed_float16", "auto"] = "float32"
    workers: int = Field(default=1, ge=1, le=64)
    worker_addresses: tuple[WorkerAddress, ...] = ()
    cache: bool = True
    checkpoint_seconds: float | None = Field(default=120.0, gt=0.0)
    checkpoint_folder: LastingFolder | None = None
    feature_gigabytes: float | None = Field(default=4.0, gt=0.0)
    feature_folder: LastingFolder | None = None

    @model_validator(mode="before")
    @classmethod
    def _defaults_after_a_backbone(cls, values: Any) -> Any:
        if not isinstance(values, dict) or not values.get("backbone"):
            return values
        try:
            first = _one_backbone.validate_python(next(iter(_one_or_more(values["backbone"]))))
        except (ValidationError, TypeError):
            return values  # The field says what is wrong with it.
        layers = _layers_after_a_backbone(maps=first.features == "maps")
        return {"image_size": first.image_size or _USUAL_IMAGE_SIZE, "layers": layers, **values}

    @model_validator(mode="after")
    def _several_backbones_give_vectors(self) -> TrainerConfig:
        if len(self.backbone) > 1 and any(each.features == "maps" for each in self.backbone):
            raise ValueError(
                "Expected features: stages, style or layout for each of several backbones, to "
                "concatenate them. "
                f"Received: {', '.join(f'{each.name} {each.features}' for each in self.backbone)}"
            )
        return self

    @model_validator(mode="after")
    def _warm_up_ends_in_time(self) -> TrainerConfig:
        if self.learning_rate_schedule.warmup_epochs >= self.epochs:
            raise ValueError(
                f"Expected warmup_epochs below epochs={self.epochs}. "
                f"Received: {self.learning_rate_schedule.warmup_epochs:g}"
            )
        return self

    @model_validator(mode="after")
    def _every_worker_has_a_part(self) -> TrainerConfig:
        if self.workers > self.batch_size:
            raise ValueError(
                f"Expected at most batch_size={self.batch_size} workers, each of which trains on "
                f"a part of every batch. Received: workers={self.workers}"
            )
        if self.worker_addresses and len(set(self.worker_addresses)) != self.workers:
            raise ValueError(
                f"Expected worker_addresses of workers={self.workers}, each another one. "
                f"Received: {', '.join(self.worker_addresses)}"
            )
        return self

    @model_validator(mode="after")
    def _refit_needs_features(self) -> TrainerConfig:
        if self.refit and not self.trains_on_features:
            raise ValueError(
                "Expected refit only where all backbones are frozen (fine_tune: none) and nothing "
                "is augmented, as the layers after them are trained six more times, and else "
                "refit: false. Received: "
                + ("augmentation" if self.augmentation else "layers that train on images")
            )
        return self

    @model_validator(mode="after")
    def _kernel_needs_vectors(self) -> TrainerConfig:
        vectors = all(each.features != "maps" for each in self.backbone)
        if self.kernel and not (self.trains_on_features and vectors):
            raise ValueError(
                "Expected kernel only where all backbones are frozen (fine_tune: none), their "
                "features are vectors (features: stages, style or layout) and nothing is "
                "augmented, since covers are compared by these features, and else kernel: null. "
                "Received: "
                + (
                    "features: maps"
                    if self.trains_on_features
                    else "augmentation"
                    if self.augmentation
                    else "layers that train on images"
                )
            )
        return self

    @property
    def trains_on_features(self) -> bool:
        """Whether the covers' features never change, so that they can be computed once."""
        frozen = all(each.fine_tune == "none" for each in self.backbone)
        return bool(self.backbone) and frozen and not self.augmentation

    @property
    def metric_threshold(self) -> float:
        """The threshold of metrics during training, before tuning."""
        tuned = isinstance(self.decision_thresholds, str)
        return DEFAULT_THRESHOLD if tuned else float(self.decision_thresholds)


class Range(Options):
    """A range of numbers to search.

    Attributes:
        min: the lowest.
        max: the highest.
        scale: `linear`, or `log` where the order of magnitude matters.
    """

    min: float
    max: float
    scale: Literal["linear", "log"] = "linear"

    @model_validator(mode="after")
    def _is_a_range(self) -> Range:
        if self.min >= self.max or (self.scale == "log" and self.min <= 0):
            raise ValueError(
                "Expected min below max, and above 0 on a log scale. "
                f"Received: min={self.min:g}, max={self.max:g}, scale={self.scale}"
            )
        return self


Choices = tuple[str | float | int | bool, ...]


class TunerConfig(Options):
    """How to search for better options of the trainer before training.

    Attributes:
        trials: number of training runs to try.
        epochs: of each.
        algorithm: `bayesian` learns from earlier trials, `random` does not.
        objective: the metric, on the eval split, of the trial's best epoch.
        search_space: option of the trainer, such as `optimizer.AdamW.learning_rate` or
            `layers.1.Dropout.rate`, to a list of values or a `Range`. Unless given: learning
            rate, weight decay and dropout, around their values.
    """

    SECTION = "tuner"

    trials: int = Field(default=10, ge=1)
    epochs: int = Field(default=4, ge=1)
    algorithm: Literal["bayesian", "random"] = "bayesian"
    objective: Monitor = "val_macro_roc_auc"
    search_space: dict[str, Range | Choices] = Field(default_factory=dict)

    @field_validator("search_space")
    @classmethod
    def _is_measured(cls, space: dict[str, Range | Choices]) -> dict[str, Range | Choices]:
        if of_kernel := [path for path in space if path.split(".")[0] == "kernel"]:
            raise ValueError(
                "Expected options that the trials of a tuner measure, which train the layers and "
                f"fit no kernel. Received: {', '.join(of_kernel)}"
            )
        return space
