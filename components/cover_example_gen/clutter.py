"""Recognises what operating systems, network drives and people leave beside covers.

It is neither a row nor a fault: it is counted by kind and named once.
"""

from __future__ import annotations

import stat
from pathlib import Path

from components.cover_example_gen.image_names import has_image_suffix

LFS_POINTERS = "Git LFS pointers (run `git lfs pull`)"
EMPTY_FOLDERS = "empty folders"
TEXT_FILES = "text files"

# Names in lower case -> how they are called.
_FILES = {
    "thumbs.db": "Thumbs.db",
    "ehthumbs.db": "Thumbs.db",
    "thumbs.db:encryptable": "Thumbs.db",
    "desktop.ini": "desktop.ini",
    "icon\r": "Icon files of macOS",
    "autorun.inf": "autorun.inf",
}
# Whatever their ending.
_TEXT_NAMES = frozenset(
    [
        "readme",
        "license",
        "licence",
        "copying",
        "authors",
        "notice",
        "changelog",
        "sha256sums",
        "md5sums",
        "checksums",
    ]
)
_TEXT_ENDINGS = (
    *(".md", ".rst", ".nfo", ".url", ".lnk", ".webloc", ".m3u", ".cue", ".ini"),
    *(".sfv", ".md5", ".sha1", ".sha256"),
)
_FOLDERS = {
    "@eadir": "@eaDir",
    "__macosx": "__MACOSX",
    "$recycle.bin": "$RECYCLE.BIN",
    "#recycle": "#recycle",
    "@recycle": "@Recycle",
    "@tmp": "@tmp",
    "lost+found": "lost+found",
    "system volume information": "System Volume Information",
    "__pycache__": "__pycache__",
}
_LARGEST_POINTER = 1024
_POINTER = b"version https://git-lfs.github.com/spec/"


def clutter_file(name: str) -> str | None:
    """Returns the kind of clutter that a file of this name is, or None."""
    known = name.casefold()
    if known in _FILES:
        return _FILES[known]
    is_text = known.partition(".")[0] in _TEXT_NAMES and not has_image_suffix(known)
    return TEXT_FILES if is_text or known.endswith(_TEXT_ENDINGS) else None


def clutter_folder(name: str) -> str | None:
    """Returns the kind of clutter that a folder of this name holds, or None."""
    return _FOLDERS.get(name.casefold())


def is_lfs_pointer(encoded: bytes) -> bool:
    """Tells whether a file's content stands for one that Git LFS did not download.

    Source: https://github.com/git-lfs/git-lfs/blob/main/docs/spec.md
    """
    return encoded.startswith(_POINTER)


def is_lfs_pointer_file(file: Path) -> bool:
    """Tells the same of a file; only small ones are opened."""
    try:
        status = file.lstat()
        if not stat.S_ISREG(status.st_mode) or not 0 < status.st_size <= _LARGEST_POINTER:
            return False
        with file.open("rb") as opened:
            return is_lfs_pointer(opened.read(len(_POINTER)))
    except OSError:
        return False
