"""The first screen: what happened, why, and what to do."""

from __future__ import annotations

import dataclasses
import shlex
from typing import Any

from components.contracts.decisions import Decision, Refusal
from components.contracts.evaluation_record import Evaluation
from components.contracts.genre_names import listing
from components.report_gen.sources import RunFacts

_HEADLINES = {
    "pushed": "Pushed",
    "not_blessed": "Not pushed",
    "data_stopped": "Not trained: the data were stopped",
    "misconfigured": "Stopped: the configuration is wrong",
    "failed": "Failed",
    "interrupted": "Interrupted",
}
_NAMED_GENRES = 8
_ENDED_EARLY = frozenset({"data_stopped", "misconfigured", "failed", "interrupted"})


def describe_verdict(
    facts: RunFacts, evaluation: Evaluation | None, serving: Decision | None = None
) -> dict[str, Any]:
    """Returns the verdict, ready for JSON.

    Args:
        facts: how the run ended.
        evaluation: of the model, if there is one.
        serving: what InfraValidator decided, if it did.

    Returns:
        `outcome`; `headline`; `summary`, one or two sentences; `problems`, each a `Refusal`, of a
        run that ended early or of a model that was refused after its evaluation; `failures` and
        `warnings`, checks of the gate; `data_warnings`, sentences of the gate on the data;
        `next_steps`, sentences; `compared_with`, the pushed version or None; `passed_over`, why
        newer versions are not compared with.
    """
    return {
        "outcome": facts.outcome,
        "headline": _HEADLINES[facts.outcome],
        "summary": _summary(facts, evaluation, serving),
        "problems": _problems(facts, serving),
        "failures": [check.to_dict() for check in evaluation.failures] if evaluation else [],
        "warnings": [check.to_dict() for check in evaluation.warnings] if evaluation else [],
        "data_warnings": [each.what for each in facts.decision.warnings] if facts.decision else [],
        "next_steps": _next_steps(facts, evaluation, serving),
        "compared_with": facts.baseline_version,
        "passed_over": list(facts.passed_over),
    }


def _summary(facts: RunFacts, evaluation: Evaluation | None, serving: Decision | None) -> str:
    if facts.outcome == "pushed":
        return f"The model met every threshold and was pushed to {facts.pushed_to}. " + _compared(
            facts, evaluation
        )
    if facts.outcome == "not_blessed" and serving and not serving.passed:
        return (
            "The model met every threshold of the evaluation, but the serving check "
            f"({serving.gate}), which loads and asks it as servers do, refused it. "
            "Previously pushed models are unchanged. " + _compared(facts, evaluation)
        )
    if facts.outcome == "not_blessed" and facts.error:
        return (
            "The model was trained and evaluated, and then refused. Previously pushed models are "
            "unchanged. " + _compared(facts, evaluation)
        )
    if facts.outcome == "not_blessed" and evaluation:
        failures = len(evaluation.failures)
        held = len(evaluation.checks) - failures
        missed = "one threshold" if failures == 1 else f"{failures} thresholds"
        return (
            f"The model was trained and evaluated, and missed {missed} of the gate ({held} met). "
            "Previously pushed models are unchanged. " + _compared(facts, evaluation)
        )
    if facts.outcome == "data_stopped":
        return "No model was trained. Previously pushed models are unchanged."
    if facts.outcome == "interrupted":
        return "The run was interrupted before it reached a verdict."
    return "The run ended before it reached a verdict. Previously pushed models are unchanged."


def _compared(facts: RunFacts, evaluation: Evaluation | None) -> str:
    if evaluation is None or evaluation.baseline is None:
        return "There was no pushed model to compare with."
    version = f", version {facts.baseline_version}" if facts.baseline_version else ""
    return f"It was compared with the latest pushed model{version}."


def _problems(facts: RunFacts, serving: Decision | None) -> list[dict[str, Any]]:
    if facts.error or facts.outcome in _ENDED_EARLY:
        refusals = facts.decision.refusals if facts.decision else ()
        refusals = refusals or (Refusal(where="the run", what=facts.error),)
    else:
        refusals = serving.refusals if serving else ()
    return [dataclasses.asdict(refusal) for refusal in refusals]


def _destination(facts: RunFacts) -> str:
    if not facts.on_cluster or not facts.pushed_to:
        return ""
    return f" --destination {shlex.quote(facts.pushed_to.rpartition('/')[0])}"


def _next_steps(
    facts: RunFacts, evaluation: Evaluation | None, serving: Decision | None
) -> list[str]:
    if facts.outcome == "pushed":
        return [f"Try it: covers predict COVER.jpg{_destination(facts)}"]
    if facts.outcome == "data_stopped":
        return [
            "Fix the data, or change the schema or the limits if the data are right; "
            "the Data section lists every quarantined row by reason.",
            "Run again: covers run. Stages whose input did not change are taken from the cache.",
        ]
    if facts.outcome == "not_blessed" and serving and not serving.passed:
        return [
            "The section Serving check lists everything that was tried, and what it took.",
            "The limits are in infra_validator of the configuration. Change them only if they ask "
            "for the wrong thing.",
        ]
    if facts.outcome == "not_blessed" and facts.error:
        return ["The problem above says what to do."]
    if facts.outcome == "not_blessed" and evaluation:
        genres = sorted({check.genre for check in evaluation.failures if check.genre})
        steps = []
        if genres:
            more = len(genres) - _NAMED_GENRES
            named = genres[:_NAMED_GENRES] + ([f"{more} more genres"] if more > 0 else [])
            steps.append(
                f"Look at {listing(named)} below: the curves, and the covers the model got "
                "wrong. Wrong labels show up there first."
            )
        steps += [
            "The Training section says whether the network learnt at all, and what holds it back.",
            "The thresholds are in evaluation.gate of the configuration. Change them only if "
            "they ask for the wrong thing.",
        ]
        return steps
    if facts.outcome == "interrupted":
        return ["Run again: finished stages are taken from the cache."]
    where = f" {facts.log_file}" if facts.log_file else ""
    return [f"Read the message above; the details are in the log file{where}."]
