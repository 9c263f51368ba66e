"""The parameters by which runs differ."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from components.contracts.flat_options import flat_options
from pipeline.commands.compare.record import Provenance

DATA = "data"
_FINGERPRINT_DIGITS = 12

Parameters = dict[str, list[str | None]]
"""Parameter -> its value in each run, as text; None where a run does not have it."""


def differing_parameters(runs: Sequence[Provenance]) -> Parameters:
    """Returns what differs: options of the configuration, data, label schema, versions.

    Options are named as `--set` takes them; `layers[1].Conv2D.filters` is one of a list. What is
    not known of a run, such as the configuration of a report without one, does not differ.
    """
    options = [dict(_options(run)) for run in runs]
    facts = [dict(_facts(run)) for run in runs]
    return _differing(options, [bool(run.config) for run in runs]) | _differing(facts)


def _differing(
    described: Sequence[dict[str, str]], is_whole: Sequence[bool] | None = None
) -> Parameters:
    """Returns what differs; where a description is whole, what it lacks differs, too."""
    whole = is_whole or [False] * len(described)
    table: Parameters = {}
    for name in {name: None for each in described for name in each}:
        values = [each.get(name) for each in described]
        known = {
            v for v, all_known in zip(values, whole, strict=True) if all_known or v is not None
        }
        if len(known) > 1:
            table[name] = values
    return table


def _options(run: Provenance) -> Iterator[tuple[str, str]]:
    for name, value in run.config.items():
        if name != DATA:  # what was ingested is among the facts
            yield from flat_options(name, value)


def _facts(run: Provenance) -> Iterator[tuple[str, str]]:
    if run.data:
        yield DATA, run.data
    if run.data_fingerprint:
        yield "fingerprint of the data", run.data_fingerprint[:_FINGERPRINT_DIGITS]
    if run.schema_sha256:
        yield "fingerprint of the label schema", run.schema_sha256[:_FINGERPRINT_DIGITS]
    yield from ((f"version of {name}", version) for name, version in run.versions.items())
