"""LabelSchemaGen: publishes the curated label schema as the pipeline's Schema artifact.

TFX's ImportSchemaGen copies a file by its path. Here the schema itself is the parameter: it travels
with a compiled pipeline to machines that do not have the file, and caches notice when it is edited.
"""

from pathlib import Path

from tfx.dsl.component.experimental.annotations import OutputArtifact, Parameter
from tfx.dsl.component.experimental.decorators import component
from tfx.types import standard_artifacts

from components.contracts.label_schema import SCHEMA_FILE_NAME


@component
def LabelSchemaGen(
    schema: OutputArtifact[standard_artifacts.Schema],
    content: Parameter[str],
    code_fingerprint: Parameter[str],
) -> None:
    """Writes `schema.pbtxt`.

    Args:
        schema: receives the file.
        content: a `tensorflow_metadata.Schema` in text format.
        code_fingerprint: hash of the code; a cache key only.
    """
    del code_fingerprint
    folder = Path(schema.uri)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / SCHEMA_FILE_NAME).write_text(content, encoding="utf-8")
