"""Folders that outlive a training run, for checkpoints and features."""

from __future__ import annotations

import logging
from pathlib import Path

from components.support.file_systems import is_url

_logger = logging.getLogger(__name__)


def lasting_folder(root: str, *names: str, kept: str, otherwise: str) -> Path | None:
    """Makes and returns a folder below `root`; if that is impossible, warns and returns None.

    The folder needs a file system that outlives the process. An object store is not one.

    Args:
        root: a folder; empty if there is none.
        names: names of the folders below it.
        kept: what is to be kept there, for the warning.
        otherwise: a sentence for the warning: what happens without the folder.
    """
    if not root:
        return None
    if is_url(root):
        _logger.warning("No %s: %s is not a folder. %s", kept, root, otherwise)
        return None
    folder = Path(root, *names)
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        _logger.warning("No %s: %s. %s", kept, error, otherwise)
        return None
    return folder
