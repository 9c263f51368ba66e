"""What ingest wrote: the shards of each split and their examples, for those who read them.

It lies in the Examples artifact, beside the splits, and so travels with them.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterable
from pathlib import Path

from components.contracts.contents import (
    Contents,
    FileContent,
    contents_from_json,
    contents_to_json,
    damage_of,
)
from components.contracts.files import split_folder
from components.support.errors import DamagedArtifact

ACCOUNT_FILE = "account.json"


@dataclasses.dataclass(frozen=True)
class WrittenShard:
    """One shard: its split, its file's name and content, and its number of examples."""

    split: str
    file_name: str
    content: FileContent
    examples: int


def write_account(artifact: Path, shards: Iterable[WrittenShard]) -> None:
    """Writes the account of an Examples artifact."""
    splits: dict[str, dict[str, WrittenShard]] = {}
    for shard in shards:
        splits.setdefault(shard.split, {})[shard.file_name] = shard
    account = {
        split: {
            "examples": sum(shard.examples for shard in named.values()),
            "files": contents_to_json({name: named[name].content for name in sorted(named)}),
        }
        for split, named in sorted(splits.items())
    }
    (artifact / ACCOUNT_FILE).write_text(json.dumps(account, indent=2) + "\n", encoding="utf-8")


def check_split(artifact: Path | str, split: str) -> int | None:
    """Compares the shards of a split with the account, to the byte.

    Args:
        artifact: the folder of an Examples artifact.
        split: one of its splits.

    Returns:
        The number of examples; None if there is no account, as of examples that others wrote.

    Raises:
        DamagedArtifact: shards are missing, changed or added.
    """
    folder = split_folder(artifact, split)
    try:
        account = json.loads((Path(artifact) / ACCOUNT_FILE).read_text(encoding="utf-8"))
        given = account.get(split, {"examples": 0, "files": "{}"})
        examples, files = int(given["examples"]), contents_from_json(given["files"])
    except FileNotFoundError:
        return None
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise DamagedArtifact(
            f"Expected {artifact}/{ACCOUNT_FILE} as ingest wrote it. Received: "
            f"{type(error).__name__}: {error}. Run again: the covers are ingested again."
        ) from error
    damage = _damage(folder, files)
    if damage:
        raise DamagedArtifact(
            f"Expected the {examples:,} examples in {folder} as ingest wrote them. Received: "
            f"{damage}. Run again: the covers are ingested again."
        )
    return examples


def _damage(folder: Path, files: Contents) -> str:
    if not folder.is_dir():
        return "no such folder" if files else ""
    return damage_of(folder, files)
