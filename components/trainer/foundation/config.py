"""Options of an image encoder that is read from a file or folder; free of TensorFlow."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import AfterValidator, Field, model_validator

from components.support.file_systems import check_lasting_folder
from components.support.options import Options

KINDS = ("saved_model", "keras", "keras_hub")

_PerChannel = float | tuple[float, float, float]
_Location = Annotated[str, Field(min_length=1), AfterValidator(check_lasting_folder)]


class Pixels(Options):
    """How pixels, 0 to 255, become what an encoder takes: `(pixel - mean) / std`.

    Attributes:
        mean: one number, or three for red, green and blue.
        std: likewise.
    """

    mean: _PerChannel = 0.0
    std: _PerChannel = 1.0

    @model_validator(mode="after")
    def _std_is_positive(self) -> Pixels:
        if min(_three(self.std)) <= 0.0:
            raise ValueError(f"Expected std above 0. Received: {self.std}")
        return self

    @property
    def scale(self) -> tuple[float, ...]:
        """What pixels are multiplied by, per channel."""
        return tuple(1.0 / std for std in _three(self.std))

    @property
    def offset(self) -> tuple[float, ...]:
        """What is added to the product, per channel."""
        return tuple(
            -mean / std for mean, std in zip(_three(self.mean), _three(self.std), strict=True)
        )


class FoundationModel(Options):
    """A frozen image encoder to start from; exactly one of the first three options says where.

    Attributes:
        saved_model: folder of a TensorFlow SavedModel, or its URL in an object store.
        keras: a `.keras` file, or its URL.
        keras_hub: folder of a KerasHub preset, or its URL.
        signature: which signature of the SavedModel to call.
        output: which of several outputs to use; of a `.keras` file, also the name of a layer.
        image_size: side in pixels that the encoder gets; unless given, the one that it was made
            for or, if it takes any, the trainer's `image_size`.
        pixels: how pixels become what the encoder takes. Unless given: of a preset, what its image
            converter does; else they stay as they are, 0 to 255.
        pooling: how feature maps and tokens become one vector: their `average`, `statistics`
            (mean and standard deviation), or the `first` token. Vectors stay as they are.
    """

    saved_model: _Location | None = None
    keras: _Location | None = None
    keras_hub: _Location | None = None
    signature: str = "serving_default"
    output: str | None = None
    image_size: int | None = Field(default=None, ge=8, le=2048)
    pixels: Pixels | None = None
    pooling: Literal["average", "statistics", "first"] = "average"

    @model_validator(mode="after")
    def _is_one_model(self) -> FoundationModel:
        given = [kind for kind in KINDS if getattr(self, kind) is not None]
        if len(given) != 1:
            raise ValueError(
                f"Expected exactly one of {', '.join(KINDS)}. Received: "
                f"{' and '.join(given) or 'none'}"
            )
        if "signature" in self.model_fields_set and self.kind != "saved_model":
            fields = type(self).model_fields
            if self.signature != fields["signature"].default:
                raise ValueError(
                    f"Expected signature only with saved_model. Received: {self.kind} with "
                    f"signature {self.signature!r}"
                )
        return self

    @property
    def kind(self) -> str:
        """Which of `KINDS` it is."""
        return next(kind for kind in KINDS if getattr(self, kind) is not None)

    @property
    def location(self) -> str:
        """Its path or URL."""
        return str(getattr(self, self.kind))

    @property
    def name(self) -> str:
        """What to call it: the last part of its location."""
        return self.location.rstrip("/").rpartition("/")[2]

    @property
    def features(self) -> Literal["vector"]:
        """What it passes to the layers after it; see `Backbone.features`."""
        return "vector"

    @property
    def fine_tune(self) -> Literal["none"]:
        """It is frozen; see `Backbone.fine_tune`."""
        return "none"

    @property
    def file(self) -> str:
        """The path or URL whose content decides what it computes."""
        return self.location


def _three(value: _PerChannel) -> tuple[float, ...]:
    return value if isinstance(value, tuple) else (value,) * 3
