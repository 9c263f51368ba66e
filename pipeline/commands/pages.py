"""The pages that commands write where `--output` says."""

from __future__ import annotations

from pathlib import Path

from components.support.errors import ConfigError


def write_page(file: Path, text: str) -> None:
    """Writes a page, and the folders above it.

    Raises:
        ConfigError: it cannot be written there.
    """
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text, encoding="utf-8")
    except OSError as error:
        raise ConfigError(
            f"Expected a file for the page at {file}. Received: {error.strerror}. Name another one "
            "with --output."
        ) from error
