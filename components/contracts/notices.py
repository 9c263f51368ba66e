"""What is said to a web hook about the end of a run."""

from __future__ import annotations

import dataclasses
import posixpath
from typing import Any

from components.contracts.outcome import Outcome
from components.support.texts import shortened

FORMAT_VERSION = 1

_MOST_REASONS = 20
_LONGEST_REASON = 500
_HEADLINES = {
    Outcome.PUSHED: "pushed",
    Outcome.NOT_BLESSED: "refused: not pushed",
    Outcome.DATA_STOPPED: "not trained: the data were stopped",
    Outcome.MISCONFIGURED: "stopped: the configuration is wrong",
    Outcome.FAILED: "failed",
    Outcome.INTERRUPTED: "interrupted",
}


@dataclasses.dataclass(frozen=True)
class Notice:
    """How one run ended.

    Attributes:
        pipeline: its name.
        run_id: identity of the run; empty if it is not known.
        outcome: how it ended.
        reasons: why it is not `pushed`, one sentence each.
        pushed_to: path or URL of the pushed version, or None.
        report: path or URL of the report or of a page with the reasons, or None.
    """

    pipeline: str
    run_id: str
    outcome: Outcome
    reasons: tuple[str, ...] = ()
    pushed_to: str | None = None
    report: str | None = None

    def to_payload(self) -> dict[str, Any]:
        """Returns the JSON object that is posted.

        `text` says it all in one sentence, for the chats that show that key and nothing else.
        """
        reasons = [shortened(reason, _LONGEST_REASON) for reason in self.reasons[:_MOST_REASONS]]
        left_out = len(self.reasons) - len(reasons)
        if left_out:
            reasons.append(f"and {left_out:,} more; see the report")
        return {
            "format_version": FORMAT_VERSION,
            "text": self._sentence(),
            "pipeline": self.pipeline,
            "run_id": self.run_id,
            "outcome": self.outcome.value,
            "exit_code": self.outcome.exit_code,
            "version": posixpath.basename(self.pushed_to) if self.pushed_to else None,
            "pushed_to": self.pushed_to,
            "reasons": reasons,
            "report": self.report,
        }

    def _sentence(self) -> str:
        sentence = f"{self.pipeline}, run {self.run_id or 'unknown'}: {_HEADLINES[self.outcome]}"
        if self.pushed_to:
            sentence += f" to {self.pushed_to}"
        if self.reasons:
            sentence += f". {shortened(self.reasons[0], _LONGEST_REASON)}"
        return sentence
