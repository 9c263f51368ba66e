"""`covers init`: from data to a configuration that runs."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from components.contracts.label_schema import LabelSchema
from components.cover_example_gen.config import IngestConfig
from components.cover_example_gen.remote import local_data
from components.support.errors import ConfigError
from pipeline.commands.init.files import (
    check_new,
    default_output,
    make_configuration,
    make_schema,
    schema_file,
)
from pipeline.commands.init.findings import describe, find_out
from pipeline.config import DEFAULT_CONFIG, apply_override, load_config


def initialise(data: Path | str, output: Path | None, overrides: Sequence[str]) -> Iterator[str]:
    """Writes a configuration and a label schema for data; yields lines for a person.

    Args:
        data: a manifest, a folder, a folder of spans, or the URL of one of these.
        output: the configuration to write; None names it like the data's folder.
        overrides: options of ingest as `ingest.key=value`.

    Raises:
        ConfigError: there is nothing at `data`, a file exists already, or an option is wrong.
        DataError: there are no rows, fewer than two genres, or no column that can be used.
    """
    output = output or default_output(data)
    schema = schema_file(output)
    check_new([output, schema])
    config = _ingest_config(overrides)
    labels = LabelSchema.from_text(load_config(DEFAULT_CONFIG).schema_text())
    with local_data(str(data)) as local:
        findings = find_out(local, config, labels)
        name = local.name
    yield from describe(findings, str(data))
    schema.write_text(make_schema(findings, name), encoding="utf-8")
    output.write_text(make_configuration(findings, data, output, config), encoding="utf-8")
    load_config(output)
    yield ""
    yield f"Wrote {output} and {schema}. Look at both, then:"
    yield f"  covers run --config {output}"


def _ingest_config(overrides: Sequence[str]) -> IngestConfig:
    values: dict[str, Any] = {}
    for override in overrides:
        apply_override(values, override)
    section = IngestConfig.SECTION
    if set(values) - {section}:
        raise ConfigError(
            f"Expected options of {section}, such as {section}.columns.genres=style. Received: "
            f"{', '.join(sorted(set(values) - {section}))}. Change other options in the "
            "configuration that is written."
        )
    return IngestConfig.from_fields(values.get(section, {}))
