"""What the answers must be: those of a good model, altered."""

from __future__ import annotations

import copy
import dataclasses
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from components.contracts.signatures import read_model_description
from components.infra_validator import recorded
from components.infra_validator.config import SESSION, InfraValidatorConfig
from components.infra_validator.interface import read_signatures
from components.infra_validator.judge import AGAIN, Expectations, decide, judge, judge_agreement
from components.infra_validator.processes import examine, make_request
from components.trainer.thresholds import DecisionRule
from tests.components.infra_validator.conftest import CLOSE, GENRES, RULE, SIDE, Good

Answer = dict[str, Any]
ERROR = {"error": "Expected the bytes of a JPEG\nmore", "code": 3}


@pytest.fixture(scope="module")
def asked(
    good: Good, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Answer, list[dict[str, Any]]]:
    """What the good model answered, and what it was asked."""
    folder = tmp_path_factory.mktemp("requests")
    requests = recorded.write_requests(folder, good.covers, SIDE)
    signatures = read_signatures(good.model)
    request = make_request(SESSION, good.model, signatures, requests, recorded.ONE, AGAIN)
    answer = examine(request, folder / "process", None).answer
    assert answer is not None
    return dict(answer), requests


@pytest.fixture
def answer(asked: tuple[Answer, list[dict[str, Any]]]) -> Answer:
    return copy.deepcopy(asked[0])


@pytest.fixture
def refused(good: Good, asked: tuple[Answer, list[dict[str, Any]]]) -> Callable[..., list[str]]:
    """Returns a function that judges an answer: what is refused, and what was received."""
    _, requests = asked
    places = [good.predictions.ids.index(identity) for identity in good.covers.ids]
    many = recorded.many(len(places))
    expected = Expectations(
        description=read_model_description(good.model),
        probabilities=good.predictions.probabilities[[places[place] for place in many]],
        from_evaluation=CLOSE,
        config=InfraValidatorConfig(),
        requests={
            each["name"]: each["shape"][0] if "shape" in each else len(each["files"])
            for each in requests
        },
    )

    def judged(answer: Answer) -> list[str]:
        tests = list(judge(SESSION, answer, expected))
        assert all(test.loader == SESSION for test in tests)
        return [f"{test.name}: {test.got}" for test in tests if not test.passed]

    return judged


def _outputs(answer: Answer, request: str) -> dict[str, Any]:
    outputs: dict[str, Any] = answer["answers"][request]["outputs"]
    return outputs


def test_a_large_batch_has_every_cover_and_at_least_32() -> None:
    assert recorded.many(40) == list(range(40))
    assert len(recorded.many(5)) == 32 and set(recorded.many(5)) == set(range(5))


def test_right_answers_are_not_refused(answer: Answer, refused: Callable[..., list[str]]) -> None:
    assert refused(answer) == []
    assert len(_outputs(answer, recorded.COVERS)["genres"]) == 32


def test_a_model_that_does_not_load(refused: Callable[..., list[str]]) -> None:
    assert refused(ERROR) == ["loading: the error: Expected the bytes of a JPEG"]


def test_an_error_on_what_was_evaluated_is_told_once(
    answer: Answer, refused: Callable[..., list[str]]
) -> None:
    answer["answers"] = dict.fromkeys(answer["answers"], ERROR)
    assert len(refused(answer)) == 2


def test_genres_in_another_order(answer: Answer, refused: Callable[..., list[str]]) -> None:
    _outputs(answer, recorded.ONE)["genres"] = [["pop", "jazz", "rock"]]
    assert refused(answer) == ["genres: pop, jazz, rock"]


def test_a_decision_that_does_not_follow(answer: Answer, refused: Callable[..., list[str]]) -> None:
    decisions = _outputs(answer, recorded.EXAMPLES)["decisions"]
    decisions[2][1] = 1.0 - decisions[2][1]
    (only,) = refused(answer)
    assert only.startswith("decisions: other decisions for 1 of ")


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        (math.nan, "a probability that is no finite number"),
        (math.inf, "a probability that is no finite number"),
        (1.5, "a probability of"),
        (-0.1, "a probability of"),
    ],
)
def test_a_probability_that_is_none(
    answer: Answer, refused: Callable[..., list[str]], value: float, reason: str
) -> None:
    outputs = _outputs(answer, "grey JPEG")
    outputs["probabilities"][0][0] = value
    del outputs["decisions"]
    (only,) = refused(answer)
    assert only.startswith(f"kinds of requests: grey JPEG: {reason}")


def test_a_nan_among_the_recorded_covers_is_not_what_was_evaluated(
    answer: Answer, refused: Callable[..., list[str]]
) -> None:
    _outputs(answer, recorded.COVERS)["probabilities"][31][0] = math.nan
    assert any(each.startswith("recorded covers: nan apart") for each in refused(answer))


def test_outputs_beside_those_of_clients_may_have_any_width_but_one(
    answer: Answer, refused: Callable[..., list[str]]
) -> None:
    outputs = _outputs(answer, recorded.EXAMPLES)
    rows = len(outputs["probabilities"])
    outputs["embeddings"] = [[0.5] * 512 for _ in range(rows)]
    assert refused(answer) == []
    outputs["embeddings"][1].pop()
    assert refused(answer) == [
        f"kinds of requests: {recorded.EXAMPLES}: embeddings of another shape"
    ]
    outputs["embeddings"] = [[0.5] * 512 for _ in range(rows - 1)]
    assert refused(answer) == [
        f"kinds of requests: {recorded.EXAMPLES}: embeddings of another shape"
    ]


def test_an_answer_of_another_shape(answer: Answer, refused: Callable[..., list[str]]) -> None:
    _outputs(answer, "no cover")["probabilities"] = [[0.5] * len(GENRES)]
    (only,) = refused(answer)
    assert only == "kinds of requests: no cover: probabilities of another shape"
    _outputs(answer, recorded.COVERS)["probabilities"].pop()
    assert "recorded covers: answers of another shape" in refused(answer)


@pytest.mark.parametrize(
    ("said", "got"),
    [
        ({"outputs": {}}, "an answer to no bytes"),
        ({"error": "lost", "code": 13}, "no bytes: lost"),
        ({"error": "lost", "code": None}, "no bytes: lost"),
    ],
)
def test_bytes_that_are_no_image_are_refused_as_the_clients_fault(
    answer: Answer, refused: Callable[..., list[str]], said: Answer, got: str
) -> None:
    answer["answers"]["no bytes"] = said
    assert f"no images: {got}" in refused(answer)


@pytest.mark.parametrize(
    ("request_name", "test"),
    [
        (recorded.AFTERWARDS, "after a refusal"),
        (recorded.PIXELS, "pixels"),
        (recorded.ONE, "a batch of one"),
    ],
)
def test_answers_that_must_be_the_same(
    answer: Answer, refused: Callable[..., list[str]], request_name: str, test: str
) -> None:
    row = _outputs(answer, request_name)["probabilities"][0]
    row[0] += 1e-3 if row[0] < 0.5 else -1e-3
    assert any(each.startswith(f"{test}: 0.001 apart") for each in refused(answer))
    answer["answers"][request_name] = ERROR
    assert any(each.startswith(f"{test}: the error: ") for each in refused(answer))


def test_a_second_copy_that_answers_otherwise(
    answer: Answer, refused: Callable[..., list[str]]
) -> None:
    answer["again"][recorded.ONE]["outputs"]["probabilities"][0][0] += 1e-3
    assert refused(answer) == ["loaded again: 0.001 apart"]
    answer["again"][recorded.ONE] = ERROR
    assert refused(answer) == ["loaded again: the error: Expected the bytes of a JPEG"]


def test_loaders_that_disagree(answer: Answer) -> None:
    other = copy.deepcopy(answer)
    both = {"session": answer, "python": other}
    assert judge_agreement(both, CLOSE).passed
    _outputs(other, "PNG of 1 x 1")["probabilities"][0][0] += 2e-5
    assert judge_agreement(both, CLOSE).got == "2e-05 apart"
    other["answers"]["CMYK JPEG"] = ERROR
    assert judge_agreement(both, CLOSE).got == "an answer from only one to: CMYK JPEG"


@pytest.mark.parametrize("at_least_one_genre", [False, True])
def test_decisions_follow_as_the_trainer_decides(good: Good, at_least_one_genre: bool) -> None:
    description = dataclasses.replace(
        read_model_description(good.model), at_least_one_genre=at_least_one_genre
    )
    probabilities = np.random.default_rng(0).random((200, len(GENRES))).astype(np.float32)
    probabilities[:3] = RULE.thresholds
    rule = DecisionRule(RULE.thresholds, at_least_one_genre)
    np.testing.assert_array_equal(decide(probabilities, description), rule.decide(probabilities))


def test_covers_are_asked_about_in_many_kinds(good: Good, tmp_path: Path) -> None:
    kinds = recorded.image_kinds(good.covers.covers[0])
    assert len(set(kinds.values())) == len(kinds) >= 10
