"""What is asked of a part, and what is accepted as its answers."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest

from components.contracts.quarantine import Reason
from components.support.errors import DeploymentError
from pipeline.commands.batch_prediction.covers import CoverFile
from pipeline.commands.batch_prediction.parts import Part


@pytest.mark.parametrize(
    ("given", "asked"),
    [
        (CoverFile("a.jpg", "", "a.jpg"), CoverFile("a.jpg", "", "HERE/a.jpg")),
        (CoverFile("c/a.jpg", "c", "d/a.jpg"), CoverFile("c/a.jpg", "HERE/c", "d/a.jpg")),
        (CoverFile("/c/a.jpg", "/c", "a.jpg"), CoverFile("/c/a.jpg", "/c", "a.jpg")),
        (CoverFile("\udcff.jpg", "/c", "\udcff.jpg"), CoverFile("\udcff.jpg", "/c", "\udcff.jpg")),
        (
            CoverFile("s3://b/a.jpg", "s3://b", "a.jpg"),
            CoverFile("s3://b/a.jpg", "s3://b", "a.jpg"),
        ),
        (
            CoverFile("m#3", "s3://b", "", "No path.", Reason.UNREADABLE_FOLDER),
            CoverFile("m#3", "s3://b", "", "No path.", Reason.UNREADABLE_FOLDER),
        ),
        (CoverFile("m#3", "", "", "No path."), CoverFile("m#3", "", "", "No path.")),
    ],
)
def test_a_worker_is_asked_for_the_same_file(
    given: CoverFile, asked: CoverFile, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    part = Part(tmp_path, 7)
    part.ask("header", [given, given])
    folder, path = (each.replace("HERE", str(tmp_path)) for each in (asked.folder, asked.path))
    expected = dataclasses.replace(asked, folder=folder, path=path)
    assert part.asked() == ("header", [expected, expected])


def test_answers_for_something_else_are_not_taken_for_those_asked(tmp_path: Path) -> None:
    part = Part(tmp_path, 0)
    part.ask("now", [])
    part.answer("before", [])
    assert Part.answered_in(tmp_path) == {0}
    assert not part.is_answered("now")
    part.answer("now", [{"image": "a.jpg", "genres": []}])
    assert part.is_answered("now")
    assert part.accept(elsewhere=True) == 1
    assert part.is_done("now")
    assert not part.is_answered("now")
    assert part.asked() == ("now", [])  # The engine may begin the job again.
    part.withdraw()
    assert [file.name for file in tmp_path.iterdir()] == ["0000000.jsonl"]


def test_answers_that_say_what_failed_are_no_part_that_is_done(tmp_path: Path) -> None:
    part = Part(tmp_path, 0)
    part.answer("header", [{"image": "a", "failure": "DeploymentError", "error": "No access."}])
    with pytest.raises(DeploymentError, match=r"No access\. What is done is kept"):
        part.accept(elsewhere=False)
    assert not list(tmp_path.iterdir())
