"""The result of a run: what happened and why."""

from __future__ import annotations

import dataclasses
import json
from typing import Any

from components.contracts.decisions import Decision
from components.contracts.outcome import Outcome


@dataclasses.dataclass(frozen=True)
class RunResult:
    """The result of one run.

    Attributes:
        run_id: identity of the run in ML Metadata.
        pipeline: name of the pipeline.
        data: what was ingested.
        outcome: an `Outcome`.
        stages: node -> done, cached, failed or not run.
        seconds: wall time.
        log_file: what the libraries logged.
        decision: what the last gate decided; None if the run did not reach one.
        error: any other reason why the run ended without a pushed model; empty if there is none.
        faults: what failed after the verdict, such as the report; it does not change the outcome.
        ingest: the row counts, or None if ingest did not finish.
        evaluation: metrics overall, by genre and by slice, or None if there are none.
        pushed_model: folder of the pushed version, or None.
        report: the HTML report, or None if the run did not get far enough for one.
    """

    run_id: str
    pipeline: str
    data: str
    outcome: Outcome
    stages: dict[str, str]
    seconds: float
    log_file: str
    decision: Decision | None = None
    error: str = ""
    faults: tuple[str, ...] = ()
    ingest: dict[str, Any] | None = None
    evaluation: dict[str, Any] | None = None
    pushed_model: str | None = None
    report: str | None = None

    @property
    def reasons(self) -> tuple[str, ...]:
        """Why the run is not `pushed`, one sentence each."""
        refusals = self.decision.refusals if self.decision else ()
        return tuple(refusal.what for refusal in refusals) or ((self.error,) if self.error else ())

    def to_json(self) -> str:
        """Returns the result as one JSON object, with the reasons and the exit code."""
        return json.dumps(
            {
                **dataclasses.asdict(self),
                "decision": self.decision and self.decision.to_dict(),
                "reasons": self.reasons,
                "exit_code": self.outcome.exit_code,
            }
        )

    @classmethod
    def from_json(cls, text: str) -> RunResult:
        """Reads what `to_json` wrote, now or before decisions were part of a result."""
        fields = json.loads(text)
        known = {field.name for field in dataclasses.fields(cls)}
        result = {name: value for name, value in fields.items() if name in known}
        result["outcome"] = Outcome(fields["outcome"])
        result["faults"] = tuple(fields.get("faults", ()))
        decision = result.get("decision")
        if decision:
            result["decision"] = Decision.from_dict(decision)
        elif not result.get("error"):
            result["error"] = "\n".join(fields.get("reasons", ()))
        return cls(**result)
