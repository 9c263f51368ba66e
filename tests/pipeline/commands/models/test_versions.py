"""`covers models`: list, show, diff, pin and unpin."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import fsspec
import pytest

from components.contracts.pushed_models import push_model
from tests.pipeline.commands.models.conftest import write_model

Push = Callable[..., int]
Covers = Callable[..., tuple[int, str]]

GENRES = ("electronic", "hiphop", "pop")


@pytest.fixture
def models(covers: Covers, destination: str) -> Callable[..., tuple[int, str]]:
    """Returns a function that runs `covers models` on the destination."""
    return lambda *arguments: covers("models", *arguments, "--destination", destination)


@pytest.fixture
def document(models: Covers) -> Callable[..., Any]:
    """Returns a function that runs `covers models` and returns what it prints as JSON."""

    def run(*arguments: object) -> Any:
        code, seen = models(*arguments, "--json")
        assert code == 0, seen
        return json.loads(seen)

    return run


def test_a_list_says_of_each_version_what_became_of_it(
    push: Push, models: Covers, document: Callable[..., Any], covers: Covers, destination: str
) -> None:
    assert document() == []
    first, second, third = push("a", roc_auc=0.7), push("b", roc_auc=0.8), push("c")
    where = ("--destination", destination)
    covers("rollback", "--reason", "rock got worse", "--by", "anna", *where)
    models("pin", first, "--reason", "the first of all", "--by", "ben")
    store, path = fsspec.core.url_to_fs(f"{destination}/{first}/variables/variables.index")
    store.rm_file(path)

    listed = document()
    assert [each["version"] for each in listed[1:]] == [third, second, first]
    assert [each["state"] for each in listed] == ["served", "withdrawn", "kept", "damaged"]
    assert listed[0]["restored"]["restored"] == second
    assert listed[1]["withdrawn"]["reason"] == "rock got worse"
    assert listed[3]["damage"] == "variables/variables.index is missing"
    assert listed[3]["pin"]["by"] == "ben"
    assert listed[2]["genres"] == [*GENRES]
    assert listed[2]["metrics"]["macro_roc_auc"] == 0.8
    assert listed[2]["recipe"] == "b"
    assert listed[2]["bytes"] > 100
    assert listed[2]["pushed"].startswith("20")
    assert listed == document("list")

    code, seen = models()
    lines = seen.splitlines()
    assert code == 0
    assert lines[1].split() == [
        "version", "pushed", "(UTC)", "macro_roc_auc", "hamming_loss", "size", "recipe"
    ]  # fmt: skip
    assert "  served; electronic, hiphop, pop" in lines
    assert "  damaged: variables/variables.index is missing" in lines
    assert any("restored from" in line and "anna: rock got worse" in line for line in lines)
    assert any("pinned on" in line and "ben: the first of all" in line for line in lines)
    assert all(len(line) <= 80 for line in lines[1:] if "restored from" not in line)


def test_a_version_is_shown_with_all_that_is_known(
    push: Push, models: Covers, document: Callable[..., Any], covers: Covers, destination: str
) -> None:
    first, second = push("a"), push("b")
    covers("rollback", "--reason", "worse", "--destination", destination)
    shown = document("show", second)
    assert shown["description"]["thresholds"] == [0.5, 0.5, 0.5]
    assert shown["model_card"]["quantitative_analysis"]
    assert "saved_model.pb" in shown["files"]
    assert [each["restored"] for each in shown["rollbacks"]] == [first]
    served = document("show")
    assert (served["state"], served["restored"]["restored"]) == ("served", first)
    code, seen = models("show", second)
    assert code == 0
    assert f"version {second}: withdrawn" in seen
    assert "macro_roc_auc                  0.700" in seen
    assert "tensorflow 2.16.2, keras 3.12.0" in seen
    assert all(len(line) <= 80 for line in seen.splitlines() if destination not in line)
    code, seen = models("show", 7)
    assert (code, "Received: 7, which is not there" in seen) == (1, True)


def test_two_versions_are_compared_side_by_side(
    push: Push, models: Covers, document: Callable[..., Any]
) -> None:
    code, seen = models("diff")
    assert (code, "Received: none" in seen) == (1, True)
    first = push("a", roc_auc=0.7, genres=("hiphop", "jazz"))
    code, seen = models("diff")
    assert (code, "older version of another model" in seen) == (1, True)
    second, third = push("b", roc_auc=0.75), push("c", roc_auc=0.71)
    compared = document("diff")
    assert (compared["first"]["version"], compared["second"]["version"]) == (second, third)
    assert compared["metrics"]["macro_roc_auc"]["change"] == pytest.approx(-0.04)
    assert compared["genres"]["pop"]["threshold"] == {"first": 0.5, "second": 0.5, "change": 0.0}
    assert compared["frameworks"]["keras"] == ["3.12.0", "3.12.0"]
    with_first = document("diff", first)
    assert with_first["only_in_first"] == ["jazz"]
    assert with_first["only_in_second"] == ["electronic", "pop"]
    assert with_first["genres"]["jazz"]["roc_auc"] == {"first": 0.7, "second": None, "change": None}
    code, seen = models("diff", first, second)
    assert code == 0
    assert "macro_roc_auc                           0.700          0.750      +0.050" in seen
    assert f"Only version {first} knows jazz." in seen
    assert all(len(line) <= 80 for line in seen.splitlines())
    code, seen = models("diff", 1, 2, 3)
    assert code == 2


def test_pins_are_set_and_removed(push: Push, models: Covers, document: Callable[..., Any]) -> None:
    version = push("a")
    code, seen = models("pin", 5, "--reason", "no such version")
    assert (code, "5, which is not there" in seen) == (1, True)
    code, seen = models("pin", version, "--reason", "a contract")
    assert (code, f"Pinned version {version}" in seen) == (0, True)
    assert document()[0]["pin"]["reason"] == "a contract"
    assert document("unpin", version)["version"] == version
    assert document()[0]["pin"] is None
    code, seen = models("unpin", version)
    assert (code, "which has no pin" in seen) == (1, True)


def test_a_model_card_that_is_none_costs_the_metrics_alone(
    push: Push, document: Callable[..., Any], models: Covers, destination: str
) -> None:
    for content in (b"[]", b"{", b'{"quantitative_analysis": {"performance_metrics": [1]}}'):
        version = push("a")
        card = f"{destination}/{version}/assets.extra/model_card.json"
        with fsspec.open(card, "wb") as file:
            file.write(content)
    assert [each["metrics"]["macro_roc_auc"] for each in document()] == [None] * 3
    assert models("show")[0] == 0


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A pipeline root with pushed models of two pipelines."""
    write_model(tmp_path / "model", "a")
    for name in ("covers", "sample"):
        push_model(tmp_path / "model", str(tmp_path / "root" / name / "serving"))
    return tmp_path / "root"


def test_of_several_pipelines_one_is_named(root: Path, covers: Covers) -> None:
    where = ("--pipeline-root", root)
    code, seen = covers("models", *where)
    assert code == 0
    assert "pipeline covers: " in seen and "pipeline sample: " in seen
    listed = json.loads(covers("models", "--json", *where)[1])
    assert [each["pipeline"] for each in listed] == ["covers", "sample"]
    version = listed[0]["version"]
    assert covers("models", "show", version, *where)[0] == 0
    for arguments in (
        ("models", "show"),
        ("models", "pin", version, "--reason", "x"),
        ("models", "prune", "--keep", 1),
        ("rollback", "--reason", "x"),
    ):
        code, seen = covers(*arguments, *where)
        assert (code, "Choose with --pipeline: covers, sample" in seen) == (2, True), seen
    assert covers("models", "pin", version, "--reason", "x", "--pipeline", "covers", *where)[0] == 0
    code, seen = covers("models", "--pipeline", "nome", *where)
    assert (code, "There are: covers, sample." in seen) == (2, True)
    code, seen = covers("models", "--pipeline", "covers", "--destination", root)
    assert (code, "Received: both" in seen) == (2, True)


def test_a_root_without_pushed_models(tmp_path: Path, covers: Covers) -> None:
    code, seen = covers("models", "--pipeline-root", tmp_path)
    assert (code, "Expected pushed models below" in seen) == (1, True)
    code, seen = covers("models", "--destination", "s3://key:secret@bucket/serving")
    assert (code, "secret@" in seen) == (2, False)
    code, seen = covers("models", "--destination", tmp_path / "none")
    assert (code, "no pushed models in" in seen) == (0, True)


def test_what_is_shown_of_a_version_is_compared_with_what_was_exported(
    push: Push, models: Callable[..., tuple[int, str]], destination: str
) -> None:
    version = push("a")
    store, path = fsspec.core.url_to_fs(f"{destination}/{version}/variables/variables.index")
    store.pipe_file(path, b"other weights")
    code, seen = models("show")
    assert code == 0
    assert f"version {version}: damaged" in seen
    assert "variables/variables.index is not the file that was exported" in seen
