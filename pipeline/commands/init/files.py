"""Writes a configuration and a label schema for data."""

from __future__ import annotations

import os
import re
import textwrap
import unicodedata
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml

from components.contracts.label_schema import LabelSchema, read_schema, set_genres
from components.cover_example_gen.config import IngestConfig
from components.cover_example_gen.manifests.kinds import is_manifest
from components.support.errors import ConfigError
from components.support.texts import first_few, line_for_people, printable
from pipeline.commands.init.findings import Findings
from pipeline.config import DEFAULT_CONFIG, load_config
from pipeline.configuration_options import SHIPPED_CONFIGS

_TEMPLATE = "covers"
_MODEL_FROM = "\ntrainer:"
_MOST_COUNTS = 50


def default_output(data: Path | str) -> Path:
    """Returns the configuration to write if none is named: by the name of the data's folder."""
    if isinstance(data, str):
        *folders, name = data.rstrip("/").split("/")
        folder = folders[-1] if is_manifest(name) else name
    else:
        folder = (data if data.is_dir() else data.parent).resolve().name
    return Path(f"{_pipeline_name(folder)}.yaml")


def schema_file(configuration: Path) -> Path:
    """Returns the label schema that is written beside a configuration."""
    return configuration.with_suffix(".pbtxt")


def check_new(files: Sequence[Path]) -> None:
    """Raises unless nothing would be overwritten.

    Raises:
        ConfigError: one of the files exists, or its folder does not.
    """
    for file in files:
        if file.exists():
            raise ConfigError(
                f"Expected to write {file}. Received: a file of that name is there already. Remove "
                "it, or choose another with --output."
            )
        if not file.parent.is_dir():
            raise ConfigError(
                f"Expected to write {file}. Received: there is no folder {file.parent}."
            )


def make_schema(findings: Findings, data: str) -> str:
    """Returns the label schema in text format: the shipped one with the genres of the data."""
    from google.protobuf import text_format

    schema = read_schema(load_config(DEFAULT_CONFIG).schema_path)
    set_genres(schema, sorted(findings.genres.counts))
    LabelSchema.from_proto(schema)
    counts = first_few([f"{name} {n}" for name, n in findings.genres.counts.items()], _MOST_COUNTS)
    comments = (
        f"Proposed by `covers init` for {data}.",
        "Remove from the domain `genre` what is no genre, and change the size of `label` with it.",
        "The order of the domain is the order of the model's outputs.",
        f"Rows by genre: {counts}.",
    )
    lines = "".join(f"# {line_for_people(line)}\n" for line in comments)
    return f"{lines}\n{text_format.MessageToString(schema, as_utf8=True)}"


def make_configuration(
    findings: Findings, data: Path | str, output: Path, config: IngestConfig
) -> str:
    """Returns the configuration as YAML: the ingest of these data, and the shipped model.

    Args:
        findings: what the data hold.
        data: where they are.
        output: the file that the configuration will be written to.
        config: the ingest options that the user chose.
    """
    ingest: dict[str, Any] = config.model_dump(mode="json", exclude_defaults=True)
    if findings.columns:
        columns = findings.columns.config.model_dump(mode="json", exclude_none=True)
        ingest["columns"] = columns
    if findings.allow_no_genre:
        ingest["allow_no_genre"] = True
    head = {
        "name": _pipeline_name(output.stem),
        "schema": schema_file(output).name,
        "data": _path(data, output.parent),
    }
    others = findings.columns.slices if findings.columns else ()
    lines = [
        f"# Proposed by `covers init` for {findings.rows:,} rows. Change what is wrong, then:",
        f"#   covers run --config {printable(str(output))}",
        _yaml(head),
    ]
    if ingest or others:
        lines.append(f"ingest:\n{_indented(ingest)}")
    if others and not config.slices:
        listed = line_for_people(", ".join(name for name, _ in others))
        lines.append(f"  # Columns by which the evaluation can be sliced: {listed}")
        lines.append("  slices: []\n")
    template = (SHIPPED_CONFIGS / f"{_TEMPLATE}.yaml").read_text(encoding="utf-8")
    model = template[template.index(_MODEL_FROM) :]
    return "\n".join(line.rstrip("\n") for line in lines) + f"\n{model}"


def _indented(options: dict[str, Any]) -> str:
    return textwrap.indent(_yaml(options), "  ") if options else ""


def _yaml(options: dict[str, Any]) -> str:
    return yaml.safe_dump(options, sort_keys=False, allow_unicode=True)


def _path(data: Path | str, folder: Path) -> str:
    """Returns a path relative to the configuration's folder if it is below it, or a URL."""
    if isinstance(data, str):
        return data
    path = Path(os.path.abspath(data))  # noqa: PTH100  # Links stay what they are.
    below = Path(os.path.abspath(folder))  # noqa: PTH100
    return str(path.relative_to(below)) if path.is_relative_to(below) else str(path)


def _pipeline_name(text: str) -> str:
    plain = unicodedata.normalize("NFKD", text).encode("ascii", "ignore").decode().lower()
    name = re.sub(r"[^a-z0-9_-]+", "-", plain).strip("-_")[:60]
    return name if re.match(r"[a-z]", name) else f"covers-{name}".rstrip("-")
