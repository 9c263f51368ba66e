from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.end_to_end.tiny import Runs, TinyPipeline


@pytest.fixture(scope="session")
def runs() -> Iterator[Runs]:
    """What starts processes of `covers`."""
    started = Runs()
    yield started
    started.close()


@pytest.fixture(scope="session")
def tiny_covers(runs: Runs, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A sample of 200 covers."""
    folder = tmp_path_factory.mktemp("tiny")
    arguments = ["sample", str(folder / "covers"), "--images", "200", "--seed", "3"]
    assert runs.wait(runs.start(arguments, folder / "output")) == 0
    return folder / "covers"


@pytest.fixture
def tiny(runs: Runs, tiny_covers: Path, tmp_path: Path) -> TinyPipeline:
    """A pipeline that has not run yet."""
    return TinyPipeline(runs, tmp_path, tiny_covers)
