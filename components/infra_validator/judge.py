"""What the answers of one loader must be: pure functions from answers to tests."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from components.contracts import signatures
from components.contracts.genre_names import listing
from components.contracts.serving_check import ServingTest
from components.contracts.signatures import ModelDescription
from components.infra_validator.config import InfraValidatorConfig
from components.infra_validator.recorded import (
    AFTERWARDS,
    COVERS,
    EMPTY,
    EXAMPLES,
    NO_IMAGES,
    ONE,
    PIXELS,
    PIXELS_AS_PNG,
)
from components.support.texts import first_few, shortened

AGAIN = (COVERS, ONE)
"""What the model, loaded a second time, is asked again."""

_ALONE = 10
"""How much further apart a cover alone and in a batch may be: other kernels add in other order."""

_OF_EACH_GENRE = (signatures.PROBABILITIES, signatures.DECISIONS, signatures.GENRES)
"""Outputs with a column for each genre; those that come beside them may have any number."""

_INVALID_ARGUMENT = 3  # TF_INVALID_ARGUMENT
_TWICE_SERVED = (
    "Servers run the exported graph alone: see that components/trainer/export.py writes all that "
    "the network needs."
)

Answer = Mapping[str, Any]
Table = npt.NDArray[np.float64]


@dataclasses.dataclass(frozen=True)
class Expectations:
    """What is known of the right answers.

    Attributes:
        description: of the model.
        probabilities: the evaluation's for the large batch, shape (batch, genres).
        from_evaluation: how far a probability may be from those.
        config: the other limits.
        requests: request -> the number of rows of its answer.
    """

    description: ModelDescription
    probabilities: Table
    from_evaluation: float
    config: InfraValidatorConfig
    requests: Mapping[str, int]


def judge(loader: str, answer: Answer, expected: Expectations) -> Iterator[ServingTest]:
    """Yields what was required of the answers of one loader, those that could be judged.

    Args:
        loader: its name.
        answer: what `probe.py` wrote.
        expected: what is known of the right answers.
    """
    loads = "error" not in answer
    got = "a model" if loads else f"the error: {_first_line(answer['error'])}"
    yield _test("loading", loader, "the model to load, twice", got, loads, _TWICE_SERVED)
    if not loads:
        return
    answers: Mapping[str, Answer] = answer["answers"]
    as_evaluated = [
        _as_evaluated(loader, name, answers[name], expected) for name in (COVERS, EXAMPLES)
    ]
    yield from as_evaluated
    # A model that cannot answer what it was evaluated on fails all else for the same reason.
    if any("error" in answers[name] for name in (COVERS, EXAMPLES)):
        return
    yield _genres(loader, answers, expected)
    yield _decisions(loader, answers, expected)
    yield _values(loader, answers, expected)
    close = expected.config.max_difference
    alone = _ALONE * close
    needed = f"the same as in a large batch, to {alone:g}"
    yield _same(loader, "a batch of one", needed, answers, ONE, COVERS, alone)
    yield _same(
        loader,
        "pixels",
        f"the same as for the {PIXELS_AS_PNG}",
        answers,
        PIXELS,
        PIXELS_AS_PNG,
        close,
    )
    yield _no_images(loader, answers)
    yield _same(loader, "after a refusal", "the same as before", answers, AFTERWARDS, ONE, close)
    yield _again(loader, answers, answer["again"], close)


def judge_agreement(answers: Mapping[str, Answer], close: float) -> ServingTest:
    """Returns whether the loaders agree on every request that both answered.

    Args:
        answers: loader -> what `probe.py` wrote, of two loaders.
        close: how far apart probabilities may be.
    """
    one, other = (each["answers"] for each in answers.values())
    apart, other_kind = 0.0, []
    for name in one:
        if ("error" in one[name]) != ("error" in other[name]):
            other_kind.append(name)
        elif "error" not in one[name]:
            apart = max(apart, _difference(_table(one[name]), _table(other[name])))
    got = f"an answer from only one to: {first_few(other_kind)}" if other_kind else _apart(apart)
    needed = f"the same answers from both, to {close:g}"
    passed = not other_kind and apart <= close
    return _test("agreement", "", needed, got, passed, _TWICE_SERVED, _number(apart), close)


def _as_evaluated(loader: str, name: str, answer: Answer, expected: Expectations) -> ServingTest:
    needed = f"the evaluation's probabilities, to {expected.from_evaluation:g}"
    if "error" in answer:
        got = f"the error: {_first_line(answer['error'])}"
        return _test(name, loader, needed, got, False, _TWICE_SERVED)
    apart = _difference(_table(answer), expected.probabilities)
    remedy = "The exported model is not the one that was evaluated: export and evaluate it again."
    passed = apart <= expected.from_evaluation
    bound = expected.from_evaluation
    return _test(name, loader, needed, _apart(apart), passed, remedy, _number(apart), bound)


def _genres(loader: str, answers: Mapping[str, Answer], expected: Expectations) -> ServingTest:
    genres = list(expected.description.genres)
    rows = [row for each in _served(answers) for row in each[signatures.GENRES]]
    wrong = next((row for row in rows if row != genres), None)
    got = listing([str(name) for name in (genres if wrong is None else wrong)])
    remedy = "Clients read a column by its name: the order is that of the label schema."
    return _test("genres", loader, f"{listing(genres)}", got, wrong is None, remedy)


def _decisions(loader: str, answers: Mapping[str, Answer], expected: Expectations) -> ServingTest:
    genres = len(expected.description.genres)
    wrong, covers = 0, 0
    for each in answers.values():
        rows = each.get("outputs", {}).get(signatures.DECISIONS, [])
        probabilities = (_table(each) if rows else np.zeros((0, genres))).astype(np.float32)
        if probabilities.shape != (len(rows), genres):
            continue  # which is told where the shapes are
        follows = decide(probabilities, expected.description)
        covers += len(rows)
        wrong += sum(row != right for row, right in zip(rows, follows.tolist(), strict=True))
    got = f"other decisions for {wrong} of {covers} covers" if wrong else "just those"
    remedy = "The thresholds in the graph are not those of the model's description."
    needed = "the decisions that follow from the thresholds"
    return _test("decisions", loader, needed, got, not wrong, remedy)


def decide(
    probabilities: npt.NDArray[np.float32], description: ModelDescription
) -> npt.NDArray[np.bool_]:
    """Returns the decisions that a description promises, bool of the same shape."""
    thresholds = np.asarray(description.thresholds, np.float32)
    decisions: npt.NDArray[np.bool_] = probabilities >= thresholds
    if description.at_least_one_genre:
        closest = (probabilities - thresholds).argmax(axis=1)
        decisions |= np.eye(len(thresholds), dtype=bool)[closest]
    return decisions


def _values(loader: str, answers: Mapping[str, Answer], expected: Expectations) -> ServingTest:
    """Whether every request but those without an image has a row of probabilities per cover."""
    columns = len(expected.description.genres)
    problems = []
    for name, rows in expected.requests.items():
        if name in NO_IMAGES:
            continue
        if "error" in answers[name]:
            problems.append(f"{name}: {_first_line(answers[name]['error'])}")
            continue
        for key, values in answers[name]["outputs"].items():
            widths = {len(row) for row in values}
            wanted = {columns} if key in _OF_EACH_GENRE else set(list(widths)[:1])
            if len(values) != rows or widths - wanted:
                problems.append(f"{name}: {key} of another shape")
        table = _table(answers[name])
        if not np.all(np.isfinite(table)):
            problems.append(f"{name}: a probability that is no finite number")
        elif table.size and not (table.min() >= 0.0 and table.max() <= 1.0):
            problems.append(f"{name}: a probability of {table.min():g} or {table.max():g}")
    answered = len(expected.requests) - len(NO_IMAGES)
    got = first_few(problems, 3) if problems else f"answers to all {answered}"
    needed = (
        f"{columns} probabilities from 0 to 1 a cover, for JPEG and PNG of any colour and size, "
        f"and for empty batches ({', '.join(EMPTY)})"
    )
    remedy = "Clients send all of these, and ingest accepts them."
    return _test("kinds of requests", loader, needed, got, not problems, remedy)


def _same(
    loader: str,
    name: str,
    needed: str,
    answers: Mapping[str, Answer],
    request: str,
    reference: str,
    close: float,
) -> ServingTest:
    """Whether the first row of a request is that of another."""
    failed = next((each for each in (request, reference) if "error" in answers[each]), None)
    if failed:
        got = f"the error: {_first_line(answers[failed]['error'])}"
        return _test(name, loader, needed, got, False, _TWICE_SERVED)
    apart = _difference(_table(answers[request])[:1], _table(answers[reference])[:1])
    return _test(
        name, loader, needed, _apart(apart), apart <= close, _TWICE_SERVED, _number(apart), close
    )


def _no_images(loader: str, answers: Mapping[str, Answer]) -> ServingTest:
    answered = [name for name in NO_IMAGES if "error" not in answers[name]]
    other = [
        f"{name}: {_first_line(answers[name]['error'])}"
        for name in NO_IMAGES
        if "error" in answers[name] and answers[name]["code"] != _INVALID_ARGUMENT
    ]
    got = "refusals"
    if answered or other:
        got = first_few([*(f"an answer to {name}" for name in answered), *other], 3)
    needed = "bytes that are no image to be refused with INVALID_ARGUMENT"
    remedy = "A server blames the client only for that error, and itself for any other."
    return _test("no images", loader, needed, got, not (answered or other), remedy)


def _again(
    loader: str, answers: Mapping[str, Answer], again: Mapping[str, Answer], close: float
) -> ServingTest:
    needed = "the same answers from the model loaded a second time"
    failed = next((each["error"] for each in again.values() if "error" in each), None)
    if failed is not None:
        got = f"the error: {_first_line(failed)}"
        return _test("loaded again", loader, needed, got, False, _TWICE_SERVED)
    apart = max(
        _difference(_table(each), _table(answers[name]))
        for name, each in again.items()
        if "error" not in answers[name]
    )
    return _test(
        "loaded again", loader, needed, _apart(apart), apart <= close, _TWICE_SERVED,
        _number(apart), close,
    )  # fmt: skip


def _served(answers: Mapping[str, Answer]) -> Iterator[Mapping[str, Sequence[Any]]]:
    for each in answers.values():
        if signatures.GENRES in each.get("outputs", {}):
            yield each["outputs"]


def _table(answer: Answer) -> Table:
    rows = answer["outputs"].get(signatures.PROBABILITIES, [])
    if len({len(row) for row in rows}) > 1:
        return np.full((0, 0), np.nan)
    return np.asarray(rows, np.float64).reshape(len(rows), -1) if rows else np.zeros((0, 0))


def _difference(one: Table, other: Table) -> float:
    if one.shape != other.shape:
        return np.inf
    return float(np.max(np.abs(one - other), initial=0.0))


def _apart(apart: float) -> str:
    if np.isinf(apart):
        return "answers of another shape"
    return f"{apart:.1g} apart" if apart else "no difference"


def _number(value: float) -> float | None:
    return value if np.isfinite(value) else None


def _first_line(text: str) -> str:
    first, *_ = text.strip().splitlines() or ["no message"]
    return shortened(first)


def _test(
    name: str,
    loader: str,
    needed: str,
    got: str,
    passed: bool,
    remedy: str,
    value: float | None = None,
    bound: float | None = None,
) -> ServingTest:
    return ServingTest(
        name, loader, needed, got, bool(passed), value, bound, "" if passed else remedy
    )
