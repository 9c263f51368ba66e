"""A gate's refusal: as text, as a page and as the failure of a task.

The launcher keeps no output of a failed task but its log (kubeflow/pipelines, launcher_v2.go,
uploadOutputArtifacts). So a gate on Kubeflow is two tasks: the first decides, publishes its page
and succeeds; the second reads the decision and, if it is a refusal, fails with the reason.
"""

from __future__ import annotations

import html
from collections.abc import Mapping
from typing import TYPE_CHECKING

from components.contracts import nodes
from components.contracts.decisions import Decision, read_decision

if TYPE_CHECKING:
    from tfx.types.artifact import Artifact

REFUSAL = "refusal"
"""Output parameter of the first task: the reason, or an empty string."""

REFUSAL_PAGE = "refusal_page"
"""Output artifact of the first task: the same as a page."""

# Parameters travel in the workflow's own object, whose size etcd limits; the page has it all.
_LONGEST_PARAMETER = 8_000

_PAGE = """<!doctype html>
<html lang="en"><meta charset="utf-8"><title>{title}</title>
<style>body{{font:15px/1.5 system-ui,sans-serif;margin:2rem;max-width:60rem;color:#1f2328}}
h1{{font-size:1.3rem;color:{colour}}}pre{{white-space:pre-wrap;font:inherit}}</style>
<h1>{title}</h1><pre>{text}</pre></html>
"""


def render_page(gate: str, reason: str) -> str:
    """Returns a self-contained HTML page with a gate's decision."""
    title = f"{gate}: refused" if reason else f"{gate}: passed"
    text = reason or "There is no reason to stop."
    return _PAGE.format(
        title=html.escape(title), text=html.escape(text), colour="#b3261e" if reason else "#1a7f37"
    )


def as_parameter(reason: str) -> str:
    """Returns the reason, shortened to what a parameter can carry."""
    if len(reason) <= _LONGEST_PARAMETER:
        return reason
    return reason[:_LONGEST_PARAMETER] + "\n... the rest is on the page of the previous task."


def gate_decision(outputs: Mapping[str, list[Artifact]]) -> Decision:
    """Returns what a gate decided, from the artifact that holds its decision.

    Args:
        outputs: the gate's outputs: DataGate's `decision`, the Evaluator's `evaluation`, or
            InfraValidator's `blessing`.
    """
    holders = (nodes.DECISION, nodes.EVALUATION, nodes.BLESSING)
    key = next(key for key in holders if key in outputs)
    return read_decision(outputs[key][0].uri)
