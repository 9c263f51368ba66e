"""Folders that outlive a training: where checkpoints and features are kept."""

from __future__ import annotations

import logging
from pathlib import Path

from components.support.file_systems import is_url

_logger = logging.getLogger(__name__)


def lasting_folder(root: str, *names: str, kept: str, otherwise: str) -> Path | None:
    """Makes and returns a folder below `root`, or None, with a warning, where none can be made.

    It takes a file system that outlives the process. An object store is none.

    Args:
        root: a folder; empty where there is none.
        names: of the folders below it.
        kept: what is to be kept there, for the warning.
        otherwise: what happens without it, a sentence for the warning.
    """
    if not root:
        return None
    if is_url(root):
        _logger.warning("No %s: %s is no folder. %s", kept, root, otherwise)
        return None
    folder = Path(root, *names)
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        _logger.warning("No %s: %s. %s", kept, error, otherwise)
        return None
    return folder
