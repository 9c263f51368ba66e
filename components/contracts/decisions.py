"""What a gate decided, and why: written once as data, and rendered wherever it is shown.

`decision.json` lies in the artifact of the gate that decided: DataGate's own, the Evaluator's
`evaluation`, and InfraValidator's `blessing`. Console, report, Kubeflow pages, `report.json` and
exit codes are made from it.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from components.contracts.records import read_record, write_record
from components.support.errors import DataError

DECISION_FILE = "decision.json"
FORMAT_VERSION = 1


@dataclasses.dataclass(frozen=True)
class Refusal:
    """One reason to refuse, or to warn.

    Attributes:
        where: what it is about, such as "split 'test'" or "rock: roc_auc".
        what: a sentence: where, what was expected and what was received.
        value: what was measured; None if it is undefined or not a number.
        bound: what it was measured against; None if that is not a number.
        support: how many rows or covers the value rests on; None if unknown.
        remedy: what to do about it; empty if there is no particular advice.
    """

    where: str
    what: str
    value: float | None = None
    bound: float | None = None
    support: int | None = None
    remedy: str = ""


@dataclasses.dataclass(frozen=True)
class Decision:
    """What one gate decided.

    Attributes:
        gate: the node that decided.
        headline: what a refusal means, such as "The data were stopped at the gate".
        refusals: why it refused; empty if it passed.
        warnings: what is worth knowing even so.
    """

    gate: str
    headline: str
    refusals: tuple[Refusal, ...] = ()
    warnings: tuple[Refusal, ...] = ()

    @property
    def passed(self) -> bool:
        """Whether the run goes on."""
        return not self.refusals

    def to_dict(self) -> dict[str, Any]:
        """Returns the decision ready for JSON."""
        return {"passed": self.passed, **dataclasses.asdict(self)}

    @classmethod
    def from_dict(cls, fields: Mapping[str, Any]) -> Decision:
        """Reads what `to_dict` returned."""
        refusals, warnings = (
            tuple(Refusal(**each) for each in fields[key]) for key in ("refusals", "warnings")
        )
        return cls(fields["gate"], fields["headline"], refusals, warnings)


class DataRefused(DataError):
    """The data were stopped at the gate; carries its decision."""

    def __init__(self, decision: Decision) -> None:
        super().__init__(decision_text(decision))
        self.decision = decision


def write_decision(folder: Path | str, decision: Decision) -> None:
    """Writes `decision.json`, making the folder as needed."""
    write_record(Path(folder) / DECISION_FILE, FORMAT_VERSION, decision.to_dict())


def read_decision(folder: Path | str) -> Decision:
    """Reads what `write_decision` wrote.

    Raises:
        DeploymentError: there is no such file, or it is of another version.
    """
    path = Path(folder) / DECISION_FILE
    return read_record(path, FORMAT_VERSION, "the decision of a gate", Decision.from_dict)


def decision_text(decision: Decision) -> str:
    """Returns a refusal as text: the headline, then each reason with what to do about it."""
    count = len(decision.refusals)
    lines = [f"{decision.headline}: {count} problem{'' if count == 1 else 's'}."]
    for refusal in decision.refusals:
        lines += refusal_lines(refusal)
    return "\n".join(lines)


def refusal_lines(refusal: Refusal) -> list[str]:
    """Returns a refusal with, indented below it, what to do about it."""
    remedy = [f"    {refusal.remedy}"] if refusal.remedy else []
    return [f"  {refusal.what}", *remedy]
