"""Results that are kept for later runs: whole, and each in a folder of its own.

When a node finishes, the hashes of what it wrote go into ML Metadata with its artifacts. A kept
result that no longer has them is made again.
"""

from __future__ import annotations

import contextlib
import datetime
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from tfx.proto.orchestration import execution_result_pb2
from tfx.types import artifact_utils
from tfx.types.artifact import Artifact

from components.contracts.contents import (
    contents_from_json,
    contents_of,
    contents_to_json,
    damage_of,
)
from components.support import progress
from pipeline.runner.workspace import EARLIER

_CONTENTS = "contents"


def seal(output: execution_result_pb2.ExecutorOutput) -> None:
    """Adds the contents of the output artifacts to them."""
    for artifacts in output.output_artifacts.values():
        for artifact in artifacts.artifacts:
            contents = contents_to_json(contents_of(Path(artifact.uri)))
            artifact.custom_properties[_CONTENTS].string_value = contents


@contextlib.contextmanager
def damaged_results_are_made_again() -> Iterator[None]:
    """Lets TFX's cache look at the contents of artifacts as well as for their folders."""
    original = artifact_utils.verify_artifacts
    artifact_utils.verify_artifacts = _verifier(original)
    try:
        yield
    finally:
        artifact_utils.verify_artifacts = original


def make_way(node: str, output_dict: dict[str, list[Artifact]]) -> None:
    """Moves away what lies in the folders of outputs that are still to be written.

    Ids of executions, which TFX names the folders by, begin again with a new or restored database.
    """
    moved = None
    for artifact in (artifact for artifacts in output_dict.values() for artifact in artifacts):
        folder = Path(artifact.uri)
        if folder.is_dir() and any(folder.iterdir()):
            output, key, execution = folder.parts[-3:]
            now = datetime.datetime.now().strftime("%Y%m%d-%H%M%S-%f")
            moved = folder.parents[2] / EARLIER / now / output / key / execution
            moved.parent.mkdir(parents=True)
            folder.rename(moved)
            folder.mkdir()
    if moved:
        progress.warn(
            node,
            f"there were results that ML Metadata does not know; they are in {moved.parents[3]}",
        )


def _verifier(original: Callable[[Any], None]) -> Callable[[Any], None]:
    found: dict[int, str] = {}

    def verify(artifacts: dict[str, list[Artifact]]) -> None:
        """Raises RuntimeError, as TFX's function does, which the cache takes for a miss."""
        original(artifacts)
        for artifact in (each for values in artifacts.values() for each in values):
            if artifact.id not in found:
                found[artifact.id] = _damage(artifact)
                if found[artifact.id]:
                    node = artifact.get_string_custom_property("producer_component")
                    progress.warn(
                        node or artifact.type_name,
                        f"a kept result in {artifact.uri} is damaged and made again: "
                        f"{found[artifact.id]}",
                    )
            if found[artifact.id]:
                raise RuntimeError(f"{artifact.uri}: {found[artifact.id]}")

    return verify


def _damage(artifact: Artifact) -> str:
    text = artifact.get_string_custom_property(_CONTENTS)
    if not text:  # written before contents were kept
        return ""
    return damage_of(Path(artifact.uri), contents_from_json(text))
