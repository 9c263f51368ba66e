from __future__ import annotations

import sys
from importlib.metadata import PackageNotFoundError
from pathlib import Path
from types import ModuleType

import pytest

from components.support.errors import ConfigError
from pipeline.config import PipelineConfig, load_config
from pipeline.runner import build_check
from pipeline.runner.build_check import check_buildable_once


@pytest.fixture
def built(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """What was built in place of real networks: the numbers of genres."""
    calls: list[int] = []

    def check_buildable(config: object, num_genres: int) -> None:
        calls.append(num_genres)
        if num_genres == 13:
            raise ConfigError("refused")

    model = ModuleType("components.trainer.model")
    monkeypatch.setattr(model, "check_buildable", check_buildable, raising=False)
    monkeypatch.setitem(sys.modules, model.__name__, model)
    return calls


@pytest.fixture(scope="module")
def config() -> PipelineConfig:
    return load_config("sample")


def test_what_passed_is_not_built_again(
    built: list[int], config: PipelineConfig, tmp_path: Path
) -> None:
    for _ in range(2):
        check_buildable_once(config, 5, tmp_path / "checked")
    assert built == [5]


def test_whatever_decides_is_noticed(
    built: list[int],
    config: PipelineConfig,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    folder = tmp_path / "checked"
    check_buildable_once(config, 5, folder)
    check_buildable_once(config, 6, folder)
    check_buildable_once(load_config("sample", ["trainer.seed=99"]), 5, folder)
    options = build_check.training_options
    monkeypatch.setattr(
        build_check, "training_options", lambda config: {**options(config), "code": "other"}
    )
    check_buildable_once(config, 5, folder)
    monkeypatch.setattr(build_check.metadata, "version", lambda library: "0.0.1")
    check_buildable_once(config, 5, folder)
    monkeypatch.setattr(build_check.metadata, "version", _without_keras_hub)
    check_buildable_once(config, 5, folder)
    assert built == [5, 6, 5, 5, 5, 5]


def _without_keras_hub(library: str) -> str:
    if library == "keras-hub":
        raise PackageNotFoundError(library)
    return "0.0.1"


def test_what_was_refused_is_refused_again(
    built: list[int], config: PipelineConfig, tmp_path: Path
) -> None:
    for _ in range(2):
        with pytest.raises(ConfigError, match="refused"):
            check_buildable_once(config, 13, tmp_path / "checked")
    assert built == [13, 13]


def test_without_a_folder_it_is_always_built(built: list[int], config: PipelineConfig) -> None:
    for _ in range(2):
        check_buildable_once(config, 5, None)
    assert built == [5, 5]
