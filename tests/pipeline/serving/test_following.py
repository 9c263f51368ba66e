"""Newer versions are found, loaded and served; what cannot be served changes nothing."""

from __future__ import annotations

import json
import weakref
from collections.abc import Callable
from pathlib import Path

import pytest

from components.contracts.pushed_models import push_model
from components.contracts.rollbacks import Rollback, Withdrawn, write_rollback
from components.contracts.signatures import DESCRIPTION_FILE
from components.support.errors import DeploymentError
from pipeline.serving.following import Follower, load_folder
from pipeline.serving.metrics import Metrics
from pipeline.serving.model import ModelHolder

Push = Callable[[int], Path]


class Following:
    """A follower, and what came of it."""

    def __init__(self, destination: object) -> None:
        self.holder, self.metrics, self.said = ModelHolder(), Metrics(), list[str]()
        self.follower = Follower(self.holder, str(destination), 0.0, self.metrics, self.said.append)
        self.look = self.follower.look

    @property
    def version(self) -> int | None:
        return self.holder.model.version if self.holder.model else None

    def count(self, name: str) -> float | None:
        return self.metrics.registry.get_sample_value(name)


@pytest.fixture
def following(tmp_path: Path) -> Following:
    return Following(tmp_path / "destination")


def test_the_newest_version_is_served_and_the_one_before_let_go(
    following: Following, push: Push
) -> None:
    following.look()
    assert following.version is None and following.said == []
    push(3)
    following.look()
    assert following.version == 3
    before = weakref.ref(following.holder.model)
    (push(4).parent / "notes").mkdir()
    following.look()
    following.look()
    assert following.version == 4 == following.count("covers_model_version")
    assert before() is None
    assert following.count("covers_reloads_total") == 2
    assert [line.partition(":")[0] for line in following.said] == [
        "serves version 3",
        "serves version 4 instead of 3",
    ]


def test_a_damaged_version_is_said_and_counted_and_the_one_before_stays(
    following: Following, push: Push
) -> None:
    push(3)
    following.look()
    variables = push(4) / "variables" / "variables.data-00000-of-00001"
    whole = variables.read_bytes()
    variables.write_bytes(whole[:-1])
    following.look()
    following.look()
    assert following.version == 3
    assert following.count("covers_failed_reloads_total") == 2
    assert "not the file that was exported" in following.holder.failed[4]
    assert len(following.said) == 2 and "version 3 goes on" in following.said[1]
    (push(5) / "saved_model.pb").unlink()
    following.look()
    assert following.version == 3 and set(following.holder.failed) == {4, 5}
    variables.write_bytes(whole)
    following.look()
    assert following.version == 4 and set(following.holder.failed) == {5}


def test_a_start_takes_the_newest_that_loads(following: Following, push: Push) -> None:
    push(3)
    (push(4) / "assets.extra" / "covers.json").write_text("{}")
    following.look()
    following.look()
    assert following.version == 3 and len(following.said) == 2
    assert "nothing is served yet" in following.said[0]


def test_a_start_passes_over_what_was_taken_back(following: Following, push: Push) -> None:
    push(3)
    withdrawn, restored = push(4), push(5)
    description = withdrawn / DESCRIPTION_FILE
    fields = json.loads(description.read_text())
    recipe, fields["recipe"] = fields["recipe"], "taken back"
    description.write_text(json.dumps(fields))
    taken = (Withdrawn(4, "taken back"),)
    moment = "2026-11-26T10:00:00+00:00"
    write_rollback(restored, Rollback(5, 3, recipe, taken, moment, "anna", "worse"))
    (restored / "saved_model.pb").unlink()
    following.look()
    assert following.version == 3


def test_a_version_that_is_taken_away_is_served_no_more(following: Following, push: Push) -> None:
    push(3)
    newest = push(4)
    following.look()
    newest.rename(newest.with_name("away"))
    following.look()
    assert following.version == 3


def test_a_store_is_followed_by_way_of_copies(tiny_model: Path) -> None:
    url = "memory://covers-serve/serving"
    following = Following(url)
    pushed = push_model(tiny_model, url)
    following.look()
    assert following.version == pushed.version
    assert following.holder.model and following.holder.model.location == pushed.location
    push_model(tiny_model, url)
    following.look()
    assert following.count("covers_reloads_total") == 2


def test_a_destination_that_cannot_be_read_is_said_once() -> None:
    following = Following("nosuchstore://bucket/serving")
    following.look()
    following.look()
    (line,) = following.said
    assert line.startswith("cannot look for a newer version: Expected")


def test_a_folder_that_is_no_model_ends_the_command(tmp_path: Path, tiny_model: Path) -> None:
    with pytest.raises(DeploymentError, match="Expected a model exported by this project"):
        load_folder(tmp_path)
    assert load_folder(tiny_model).version == 1
