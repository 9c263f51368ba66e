"""Reads `report.json`, as far as runs are compared by it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, ValidationError

from components.contracts.files import REPORT_DATA
from components.report_gen.build import FORMAT_VERSION
from components.support.errors import ConfigError, DamagedArtifact


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, strict=True, allow_inf_nan=False)


Values = dict[str, float | None]


class Verdict(_Part):
    """How the run ended."""

    outcome: str


class Metrics(_Part):
    """What the evaluation measured."""

    example_count: int
    genres: list[str]
    confidence: float | None
    overall: Values
    per_genre: dict[str, Values]


class History(_Part):
    """The training, epoch by epoch."""

    epochs: list[dict[str, Any]]
    exported_epoch: int | None = None


class Training(_Part):
    """What the report knows about the training."""

    history: History | None


class Stored(_Part):
    """Where an artifact is."""

    uri: str


class Provenance(_Part):
    """Where the run comes from."""

    run_id: str
    pipeline: str
    data: str
    data_fingerprint: str
    schema_sha256: str | None
    config: dict[str, Any]
    versions: dict[str, str]
    artifacts: dict[str, Stored]


class Summary(_Part):
    """What ingest counted."""

    examples_by_split: dict[str, int]


class Data(_Part):
    """The covers."""

    summary: Summary | None


class ReportRecord(_Part):
    """What `report.json` holds about a run, without what no comparison needs."""

    format_version: int = Field(ge=FORMAT_VERSION, le=FORMAT_VERSION)
    created: Annotated[AwareDatetime, Field(strict=False)]
    verdict: Verdict
    evaluation: Metrics | None
    data: Data
    training: Training | None
    provenance: Provenance


def read_record(path: Path) -> ReportRecord:
    """Reads a report.

    Raises:
        ConfigError: there is no such file, or it cannot be read.
        DamagedArtifact: it is no report, or a damaged one.
    """
    try:
        content = json.loads(path.read_bytes())
    except OSError as error:
        raise ConfigError(
            f"Expected a report at {path}. Received: {error.strerror}. Name a {REPORT_DATA}, or a "
            "run that `covers runs` lists."
        ) from error
    except (ValueError, RecursionError) as error:
        raise _damaged(path, f"no JSON ({error})") from error
    try:
        return ReportRecord.model_validate(content)
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(map(str, first["loc"])) or "the document"
        raise _damaged(path, f"{place}: {first['msg']}") from error


def _damaged(path: Path, received: str) -> DamagedArtifact:
    return DamagedArtifact(
        f"Expected a report of format version {FORMAT_VERSION} at {path}. Received: {received}. "
        "Copy it again, or repeat the run with: covers run"
    )
