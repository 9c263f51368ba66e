"""What the augmentation does to a cover: measured on coordinates, and shown in pictures."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import keras
import numpy as np
from PIL import Image

from components.contracts.diagnosis import Finding

_SAMPLES = 96
_UPRIGHT_DEGREES = 20.0
_TURNED_DEGREES = 45.0
_SMALLEST_AREA = 0.75
_SMALLEST_PART = 0.6
_SMALLEST_UPRIGHT = 0.5
_ROWS, _VARIANTS = 4, 5
_MARGIN = 4
# Layers that move pixels; the others change colours and would corrupt coordinates.
_MOVING = (
    "RandomFlip",
    "RandomRotation",
    "RandomZoom",
    "RandomTranslation",
    "RandomCrop",
    "RandomShear",
    "RandomPerspective",
    "RandomElasticTransform",
    "CenterCrop",
    "Resizing",
)


@dataclasses.dataclass(frozen=True)
class Geometry:
    """What is left of a cover, on average over many augmentations.

    Attributes:
        drawn_share: share of the picture that shows the cover, and not a fill at its borders.
        visible_share: share of the cover that is in the picture.
        effective_side: side in pixels of a square as large as the drawn cover.
        upright_share: share of covers whose top points up within 20 degrees, mirrored or not.
        turned_share: share of covers turned by more than 45 degrees.
    """

    drawn_share: float
    visible_share: float
    effective_side: float
    upright_share: float
    turned_share: float


def measure_geometry(
    augmentation: Sequence[keras.Layer], image_size: int, samples: int = _SAMPLES
) -> Geometry:
    """Augments pictures whose pixels hold their own coordinates, and reads off where they went.

    Where neighbouring output pixels come from neighbouring places of the cover, at the scale and
    angle of the picture's middle, the cover is drawn; a mirrored or constant fill is not.

    Args:
        augmentation: layers in order; those that only change colours are left out.
        image_size: side of the covers in pixels.
        samples: number of augmentations to average over.
    """
    axis = np.arange(image_size, dtype=np.float32)
    x, y = np.meshgrid(axis, axis)
    coordinates = np.stack([x, y, np.zeros_like(x)], axis=-1)
    moving = [layer for layer in augmentation if type(layer).__name__ in _MOVING]
    moved = np.stack([_augment(moving, coordinates[None])[0] for _ in range(samples)])
    # jacobian[..., i, j]: change of the source's coordinate i (x, y) per output pixel along j.
    along_x = moved[:, :-1, 1:, :2] - moved[:, :-1, :-1, :2]
    along_y = moved[:, 1:, :-1, :2] - moved[:, :-1, :-1, :2]
    jacobian = np.stack([along_x, along_y], axis=-1)
    height, width = jacobian.shape[1:3]
    middle = np.median(
        jacobian[:, height // 3 : -(height // 3), width // 3 : -(width // 3)], axis=(1, 2)
    )
    size = np.linalg.norm(middle, axis=(1, 2))[:, None, None]
    difference = np.linalg.norm(jacobian - middle[:, None, None], axis=(-2, -1))
    drawn = (difference < 0.2 * size).mean(axis=(1, 2))
    source_area = np.abs(np.linalg.det(middle))
    visible = np.minimum(drawn * height * width * source_area / (image_size - 1) ** 2, 1.0)
    # Where the cover's downward direction points in the picture: a column of the inverse.
    inverse = np.linalg.pinv(middle)
    angle = np.degrees(np.abs(np.arctan2(inverse[:, 0, 1], inverse[:, 1, 1])))
    return Geometry(
        drawn_share=float(drawn.mean()),
        visible_share=float(visible.mean()),
        effective_side=float(np.sqrt(drawn.mean() * height * width)),
        upright_share=float((angle <= _UPRIGHT_DEGREES).mean()),
        turned_share=float((angle > _TURNED_DEGREES).mean()),
    )


def check_geometry(geometry: Geometry, image_size: int) -> list[Finding]:
    """Finds an augmentation that hides or turns covers."""
    numbers = dataclasses.asdict(geometry)
    findings = []
    if geometry.drawn_share < _SMALLEST_AREA:
        findings.append(
            Finding(
                "augmentation_shrinks_covers",
                "warning",
                f"After augmentation a cover fills {100 * geometry.drawn_share:.0f}% of its "
                f"picture on average, as if it were {geometry.effective_side:.0f} x "
                f"{geometry.effective_side:.0f} px instead of {image_size} x {image_size}; the "
                "rest is filled in.",
                f"Zoom in a little instead of out: trainer.augmentation: {_crop(image_size)}.",
                numbers,
            )
        )
    if geometry.visible_share < _SMALLEST_PART:
        findings.append(
            Finding(
                "augmentation_hides_covers",
                "warning",
                f"After augmentation {100 * geometry.visible_share:.0f}% of a cover is in view on "
                "average; often the part that shows its genre is not.",
                f"Keep most of the cover: trainer.augmentation: {_crop(image_size)}.",
                numbers,
            )
        )
    if geometry.upright_share < _SMALLEST_UPRIGHT:
        findings.append(
            Finding(
                "augmentation_turns_covers",
                "warning",
                f"{100 * geometry.turned_share:.0f}% of the augmented covers are turned by more "
                f"than 45 degrees; {100 * geometry.upright_share:.0f}% are within 20 degrees of "
                "upright. Nobody looks at covers like that.",
                "Leave out rotation and vertical flips; a horizontal flip does no harm.",
                numbers,
            )
        )
    return findings


def write_picture(
    augmentation: Sequence[keras.Layer], images: np.ndarray, path: Path, quality: int = 80
) -> None:
    """Writes a JPEG: each row a cover and what the augmentation makes of it.

    Args:
        augmentation: layers in order.
        images: uint8, shape (covers, size, size, 3); the first four are shown.
        path: file to write.
        quality: of the JPEG.
    """
    rows = []
    for image in images[:_ROWS]:
        batch = image[None].astype(np.float32)
        variants = [_augment(augmentation, batch)[0] for _ in range(_VARIANTS)]
        shown = [image, *(np.clip(np.round(v), 0, 255).astype(np.uint8) for v in variants)]
        rows.append(np.concatenate([_framed(each, image.shape[0]) for each in shown], axis=1))
    Image.fromarray(np.concatenate(rows, axis=0)).save(path, quality=quality)


def _crop(image_size: int) -> str:
    side = round(image_size * 0.85)
    return f"[{{RandomCrop: {{height: {side}, width: {side}}}}}]"


def _framed(image: np.ndarray, side: int) -> np.ndarray:
    """Centres an image, not larger than `side`, on a white square with a margin."""
    canvas = np.full((side + 2 * _MARGIN, side + 2 * _MARGIN, 3), 255, np.uint8)
    height, width = (min(length, side) for length in image.shape[:2])
    top, left = (len(canvas) - height) // 2, (len(canvas) - width) // 2
    canvas[top : top + height, left : left + width] = image[:height, :width]
    return canvas


def _augment(layers: Sequence[keras.Layer], images: np.ndarray) -> np.ndarray:
    features: Any = keras.ops.convert_to_tensor(images)
    for layer in layers:
        features = layer(features, training=True)
    return np.asarray(features, np.float32)
