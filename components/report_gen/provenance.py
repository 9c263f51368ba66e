"""Where a run comes from, and how to repeat it."""

from __future__ import annotations

import hashlib
import platform
import shlex
from importlib import metadata
from pathlib import Path
from typing import Any

import yaml

from components.contracts.label_schema import SCHEMA_FILE_NAME
from components.contracts.signatures import read_model_description
from components.report_gen.sources import RunFacts, Sources

_PACKAGES = (
    "covers",
    "tfx",
    "tensorflow",
    "keras",
    "tensorflow-data-validation",
    "tensorflow-model-analysis",
    "apache-beam",
    "numpy",
    "scikit-learn",
)


def describe_provenance(facts: RunFacts, sources: Sources) -> dict[str, Any]:
    """Returns data, schema, configuration, versions, artifacts and the command, for JSON."""
    schema = _schema_text(sources.schema)
    return {
        "run_id": facts.run_id,
        "pipeline": facts.pipeline,
        "data": facts.data,
        "data_fingerprint": facts.data_fingerprint,
        "schema": schema,
        "schema_sha256": hashlib.sha256(schema.encode()).hexdigest() if schema else None,
        "recipe": read_model_description(sources.model).recipe if sources.model else None,
        "config": facts.config,
        "config_yaml": yaml.safe_dump(dict(facts.config), sort_keys=False, allow_unicode=True),
        "versions": {"python": platform.python_version(), **_versions()},
        "artifacts": facts.artifacts,
        "stages": facts.stages,
        "command": _command(facts),
        "log_file": facts.log_file,
    }


def _command(facts: RunFacts) -> str:
    if facts.on_cluster:
        return f"covers submit pipeline.yaml -p {shlex.quote(f'data={facts.data}')}"
    data = f" --data {shlex.quote(facts.data)}" if facts.data else ""
    return f"covers run --config {facts.pipeline}.yaml{data}"


def _schema_text(folder: Path | None) -> str | None:
    return (folder / SCHEMA_FILE_NAME).read_text(encoding="utf-8") if folder else None


def _versions() -> dict[str, str]:
    versions = {}
    for package in _PACKAGES:
        try:
            versions[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            continue
    return versions
