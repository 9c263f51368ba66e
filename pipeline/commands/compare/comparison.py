"""Runs side by side, as one document."""

from __future__ import annotations

import dataclasses
import datetime
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from pipeline.commands.compare.changes import Changes, changes_against_first
from pipeline.commands.compare.parameters import Parameters, differing_parameters
from pipeline.commands.compare.selection import ComparedRun


@dataclasses.dataclass(frozen=True)
class Comparison:
    """Runs side by side.

    Attributes:
        created: when they were compared.
        runs: the runs; changes are against the first of them.
        genres: of all runs, in the order of the first that has each.
        parameters: those that differ.
        changes: of each run but the first.
        confidence: of the intervals of changes.
    """

    created: datetime.datetime
    runs: Sequence[ComparedRun]
    genres: Sequence[str]
    parameters: Parameters
    changes: Sequence[Changes]
    confidence: float

    @property
    def are_comparable(self) -> bool:
        """Whether at least one run could be compared with the first."""
        return any(not each.impossible for each in self.changes)

    @property
    def confidences(self) -> list[float]:
        """Of the intervals of metrics in the runs' own reports, each once."""
        known = (run.metrics.confidence for run in self.runs)
        return sorted({each for each in known if each is not None})

    def to_dict(self, page: Path) -> dict[str, Any]:
        """Returns everything for JSON.

        Args:
            page: where the page was written.
        """
        changes = [None, *map(dataclasses.asdict, self.changes)]
        return {
            "created": self.created.isoformat(timespec="seconds"),
            "page": str(page),
            "confidence_of_changes": self.confidence,
            "runs": [
                {
                    "run": run.name,
                    "when": run.when.isoformat(timespec="seconds"),
                    "outcome": run.outcome,
                    "report": str(run.report),
                    "example_count": run.metrics.example_count,
                    "confidence": run.metrics.confidence,
                    "overall": run.metrics.overall,
                    "per_genre": run.metrics.per_genre,
                    "parameters": {name: values[place] for name, values in self.parameters.items()},
                    "change": changes[place],
                }
                for place, run in enumerate(self.runs)
            ],
        }


def compare(runs: Sequence[ComparedRun]) -> Comparison:
    """Puts runs side by side."""
    intervals, changes = changes_against_first(runs)
    return Comparison(
        created=datetime.datetime.now(datetime.timezone.utc),
        runs=runs,
        genres=list(dict.fromkeys(genre for run in runs for genre in run.metrics.genres)),
        parameters=differing_parameters([run.record.provenance for run in runs]),
        changes=changes,
        confidence=intervals.confidence,
    )
