"""Names of image files."""

from __future__ import annotations

import posixpath
import re

_IMAGE_SUFFIX = re.compile(
    r"\.(jpe?g|jpe|jfif|png|apng|gif|webp|bmp|tiff?|svg|eps|hei[cf]|avif|jp2|j2k|jpx)",
    re.IGNORECASE,
)


def has_image_suffix(name: str) -> bool:
    """Tells whether a file of this name, or at this path, should be an image."""
    return _IMAGE_SUFFIX.fullmatch(posixpath.splitext(name)[1]) is not None


def without_image_suffix(name: str) -> str:
    """Returns a name or path without its ending, if that is one of an image."""
    stem, suffix = posixpath.splitext(name)
    return stem if _IMAGE_SUFFIX.fullmatch(suffix) else name
