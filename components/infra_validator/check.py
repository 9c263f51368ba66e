"""Checks one exported model, in a fresh process for each loader."""

from __future__ import annotations

import dataclasses
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from components.contracts.decisions import Decision, Refusal
from components.contracts.nodes import INFRA_VALIDATOR
from components.contracts.predictions import Predictions
from components.contracts.serving_check import Measurements, ServingCheck, ServingTest, State
from components.contracts.signatures import read_model_description
from components.infra_validator import recorded
from components.infra_validator.budget import judge_budget, measure
from components.infra_validator.config import InfraValidatorConfig
from components.infra_validator.interface import check_signatures, read_signatures
from components.infra_validator.judge import (
    AGAIN,
    Answer,
    Expectations,
    Table,
    judge,
    judge_agreement,
)
from components.infra_validator.processes import (
    Examined,
    examine,
    make_request,
)
from components.infra_validator.recorded import Recorded, write_requests
from components.support import progress
from components.support.errors import DamagedArtifact

_HEADLINE = "The model was trained and evaluated, but cannot be served"
_DEAD = "A server would end in the same way; the log of the run has what the process said."


def check_model(
    model: Path,
    covers: Recorded,
    predictions: Predictions,
    config: InfraValidatorConfig,
    from_evaluation: float,
) -> ServingCheck:
    """Loads and asks a model as servers do, and returns what came of it.

    Args:
        model: the folder with the SavedModel.
        covers: those of the test split to ask about.
        predictions: the evaluation's, of that model for all covers of the test split.
        config: how much to ask, and what it may take.
        from_evaluation: how far a probability may be from the evaluation's.

    Raises:
        DamagedArtifact: a cover has no prediction.
        DeploymentError: the folder holds no model of this project.
        MachineError: a loader was killed, was not done in time, or ran out of memory or files.
    """
    description = read_model_description(model)
    try:
        found = read_signatures(model)
    except ValueError as error:
        needed = "a SavedModel with a graph for serving"
        remedy = "Export the model again."
        return _record([ServingTest("files", "", needed, str(error), False, remedy=remedy)])
    tests = list(check_signatures(found, description))
    if not all(test.passed for test in tests):
        return _record(tests)  # nothing could be asked as clients ask it
    with tempfile.TemporaryDirectory(prefix="covers-serving-") as scratch:
        requests = write_requests(Path(scratch), covers, description.image_size)
        expected = Expectations(
            description=description,
            probabilities=_expected(covers, predictions),
            from_evaluation=from_evaluation,
            config=config,
            requests={each["name"]: _rows(each) for each in requests},
        )
        answers: dict[str, Answer] = {}
        taken: dict[str, Measurements] = {}
        for place, loader in enumerate(config.loaders):
            progress.report(INFRA_VALIDATOR, place, len(config.loaders), f"{loader} loader")
            asked = make_request(loader, model, found, requests, recorded.ONE, AGAIN)
            examined = examine(asked, Path(scratch) / loader, config.max_seconds)
            tests.append(_process(loader, examined))
            if examined.answer is None:
                continue
            tests += judge(loader, examined.answer, expected)
            if "answers" in examined.answer:
                answers[loader] = examined.answer
                taken[loader] = measure(examined.answer)
                tests += judge_budget(loader, taken[loader], config)
    if len(answers) > 1:
        tests.append(judge_agreement(answers, config.max_difference))
    record = _record(tests)
    return dataclasses.replace(
        record, requests=len(requests), covers=len(covers.ids), loaders=taken
    )


def decide(check: ServingCheck) -> Decision:
    """Returns the decision on a checked model; one that was not checked is not refused again."""
    return Decision(INFRA_VALIDATOR, _HEADLINE, tuple(map(_refusal, check.failures)))


def _refusal(test: ServingTest) -> Refusal:
    return Refusal(
        where=test.where,
        what=test.sentence(),
        value=test.value,
        bound=test.bound,
        remedy=test.remedy,
    )


def _record(tests: list[ServingTest]) -> ServingCheck:
    passed = all(test.passed for test in tests)
    return ServingCheck(State.PASSED if passed else State.REFUSED, tests=tuple(tests))


def _process(loader: str, examined: Examined) -> ServingTest:
    passed = examined.answer is not None
    return ServingTest(
        "process",
        loader,
        "an end with an answer to every request",
        examined.end or "just that",
        passed,
        remedy="" if passed else _DEAD,
    )


def _expected(covers: Recorded, predictions: Predictions) -> Table:
    places = {identity: place for place, identity in enumerate(predictions.ids)}
    missing = [identity for identity in covers.ids if identity not in places]
    if missing:
        raise DamagedArtifact(
            f"Expected a prediction for each cover of the test split. Received: none for "
            f"{len(missing)} of {len(covers.ids)}, such as {missing[0]}. Run again with --no-cache."
        )
    many = recorded.many(len(covers.ids))
    return predictions.probabilities[[places[covers.ids[place]] for place in many]]


def _rows(request: Mapping[str, Any]) -> int:
    return int(request["shape"][0]) if "shape" in request else len(request["files"])
