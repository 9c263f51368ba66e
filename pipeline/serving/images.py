"""Checks and conversions of images, the same as those of ingest."""

from __future__ import annotations

import dataclasses

from components.contracts.quarantine import Reason, RowRejected
from components.cover_example_gen.images import ImageFacts
from pipeline.commands.predict import LARGEST_FILE, accept_with_facts


@dataclasses.dataclass(frozen=True)
class CheckedImage:
    """An image that the model can be asked about.

    Attributes:
        content: what the model is to see.
        facts: what checking found.
    """

    content: bytes
    facts: ImageFacts


def check_image(encoded: bytes, background: str) -> CheckedImage | RowRejected:
    """Returns the image as the model is to see it, or why ingest would refuse it.

    Args:
        encoded: the bytes of a file.
        background: colour below transparent pixels.
    """
    if len(encoded) > LARGEST_FILE:
        return RowRejected(
            Reason.FILE_TOO_LARGE,
            f"Expected at most {LARGEST_FILE:,} bytes. Received: {len(encoded):,}.",
        )
    try:
        return CheckedImage(*accept_with_facts(encoded, background))
    except RowRejected as rejected:
        return rejected
