"""The outcome of a run: what happened, why, and the exit code that says so."""

from __future__ import annotations

import dataclasses
import enum
import json
from typing import Any

from components.support.errors import ConfigError, CoversError, DataError, ModelNotBlessed


class Outcome(str, enum.Enum):
    """How a run ended."""

    PUSHED = "pushed"
    NOT_BLESSED = "not_blessed"
    DATA_STOPPED = "data_stopped"
    MISCONFIGURED = "misconfigured"
    FAILED = "failed"
    INTERRUPTED = "interrupted"

    @property
    def exit_code(self) -> int:
        """The exit code of `covers run`."""
        return _EXIT_CODES[self]

    @classmethod
    def of_error(cls, error: BaseException) -> Outcome:
        """The outcome of a run that ended with an error."""
        if isinstance(error, KeyboardInterrupt):
            return cls.INTERRUPTED
        if isinstance(error, DataError):
            return cls.DATA_STOPPED
        return cls.MISCONFIGURED if isinstance(error, ConfigError) else cls.FAILED


_EXIT_CODES = {
    Outcome.PUSHED: 0,
    Outcome.NOT_BLESSED: ModelNotBlessed.exit_code,
    Outcome.DATA_STOPPED: DataError.exit_code,
    Outcome.MISCONFIGURED: ConfigError.exit_code,
    Outcome.FAILED: CoversError.exit_code,
    Outcome.INTERRUPTED: 130,
}


@dataclasses.dataclass(frozen=True)
class RunResult:
    """The outcome of one run.

    Attributes:
        run_id: identity of the run in ML Metadata.
        pipeline: name of the pipeline.
        data: what was ingested.
        outcome: an `Outcome`.
        reasons: why it is not `pushed`, one sentence each.
        stages: node -> done, cached, failed or not run.
        seconds: wall time.
        log_file: what the libraries said.
        ingest: the account of rows, or None if ingest did not finish.
        evaluation: metrics overall, by genre and by slice, or None if there are none.
        pushed_model: folder of the pushed version, or None.
        report: the HTML report, or None if the run did not get far enough for one.
    """

    run_id: str
    pipeline: str
    data: str
    outcome: Outcome
    reasons: tuple[str, ...]
    stages: dict[str, str]
    seconds: float
    log_file: str
    ingest: dict[str, Any] | None = None
    evaluation: dict[str, Any] | None = None
    pushed_model: str | None = None
    report: str | None = None

    def to_json(self) -> str:
        """Returns the result as one JSON object."""
        return json.dumps(dataclasses.asdict(self) | {"exit_code": self.outcome.exit_code})

    @classmethod
    def from_json(cls, text: str) -> RunResult:
        """Reads what `to_json` wrote."""
        fields = json.loads(text)
        fields.pop("exit_code")
        fields["outcome"] = Outcome(fields["outcome"])
        fields["reasons"] = tuple(fields["reasons"])
        return cls(**fields)
