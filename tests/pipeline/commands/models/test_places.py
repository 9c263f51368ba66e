"""Which models the commands mean that take one: those of a root, a pipeline or a destination."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from components.support.errors import ConfigError, DeploymentError
from pipeline.commands.models.places import Where, newest_place

Push = Callable[..., int]
Covers = Callable[..., tuple[int, str]]


def test_the_model_is_the_one_pushed_last_of_all_or_of_a_pipeline(
    push: Push, tmp_path: Path
) -> None:
    root = tmp_path / "root"
    first, second = (str(root / name / "serving") for name in ("first", "second"))
    old, new = push("a", to=second), push("b", to=first)
    assert Where(None, root, None).model(None) == f"{first}/{new}"
    assert Where(None, root, "second").model(None) == f"{second}/{old}"
    assert Where(second, root, None).model(None) == f"{second}/{old}"
    with pytest.raises(ConfigError, match="There are: first, second"):
        Where(None, root, "third").model(None)
    with pytest.raises(ConfigError, match="Expected --model, or"):
        Where(None, root, "first").model(Path("model"))


def test_a_destination_may_be_an_object_store(push: Push, destination: str, tmp_path: Path) -> None:
    where = Where(destination, tmp_path, None)
    with pytest.raises(DeploymentError, match=r"pushed model in .*Received: none"):
        where.model(None)
    version = push("a")
    assert where.model(None) == f"{destination}/{version}"


def test_a_damaged_version_does_not_hide_its_place_from_a_server(
    push: Push, tmp_path: Path
) -> None:
    root = tmp_path / "root"
    serving = root / "only" / "serving"
    push("a", to=str(serving))
    damaged = push("b", to=str(serving))
    (serving / str(damaged) / "saved_model.pb").unlink()
    assert newest_place(Where(None, root, None).places()).location == str(serving)
    with pytest.raises(DeploymentError, match=r"saved_model\.pb is missing"):
        Where(None, root, None).model(None)


@pytest.mark.parametrize(
    "command", [("predict", "a.jpg"), ("export", "--format", "onnx"), ("serve",)]
)
def test_a_model_and_a_place_contradict_each_other(
    covers: Covers, tmp_path: Path, command: tuple[str, ...]
) -> None:
    code, seen = covers(*command, "--model", tmp_path, "--destination", tmp_path)
    assert (code, "Expected --model, or --destination" in seen) == (2, True)
