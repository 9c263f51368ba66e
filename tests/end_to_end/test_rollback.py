"""A pushed model is taken back, and a nightly run does not bring it back."""

import json

import pytest

from tests.end_to_end.tiny import TinyPipeline

pytestmark = pytest.mark.slow

WORSE = ("--set", "trainer.epochs=1")


def test_a_run_does_not_push_what_was_taken_back(tiny: TinyPipeline) -> None:
    assert tiny.run()[0] == 0
    assert tiny.run(*WORSE)[0] == 0
    first, second = tiny.versions()
    code, seen = tiny.command("rollback", "--reason", "rock got worse", "--by", "anna")
    assert code == 0, seen
    served = tiny.versions()[-1]

    code, seen = tiny.run(*WORSE)
    assert code == 4, seen
    assert "NOT PUSHED" in seen
    assert f"version {second} of this recipe was withdrawn" in seen
    assert "by anna: rock got worse" in seen
    assert "Trainer           cached" in seen
    assert "evaluation.gate" not in seen
    assert tiny.versions() == [first, second, served]
    past = tiny.past()[0]
    assert past["outcome"] == "not_blessed"
    assert past["result"]["evaluation"]["overall"]
    assert past["result"]["stages"]["Pusher"] == "failed"
    verdict = json.loads(tiny.report().with_suffix(".json").read_text())["verdict"]
    assert "rock got worse" in verdict["problems"][0]["what"]

    code, seen = tiny.run()
    assert code == 0, seen
    assert f"PUSHED to {tiny.serving / str(served)}" in seen
    assert tiny.versions() == [first, second, served]
