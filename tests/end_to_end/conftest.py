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


@pytest.fixture(scope="module")
def pushed(
    runs: Runs, tiny_covers: Path, tmp_path_factory: pytest.TempPathFactory
) -> tuple[TinyPipeline, list[Path]]:
    """A pipeline that has pushed a model, and its covers."""
    tiny = TinyPipeline(runs, tmp_path_factory.mktemp("pushed"), tiny_covers)
    code, seen = tiny.run()
    assert code == 0, seen
    return tiny, sorted(path for path in tiny_covers.rglob("*") if path.suffix == ".jpg")
