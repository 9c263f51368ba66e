"""A pushed model says why, with the nearest of the covers that its run trained on."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from tests.end_to_end.tiny import Runs, TinyPipeline

pytestmark = pytest.mark.slow


def _explained(pushed: tuple[TinyPipeline, list[Path]], *arguments: str) -> list[dict]:
    code, seen = pushed[0].command(
        "why", *arguments, "--json", *map(str, pushed[1][:12]), "--pipeline", "tiny"
    )
    assert code == 0, seen
    return [json.loads(line) for line in seen.splitlines() if line.startswith("{")]


def test_the_nearest_are_other_covers_and_a_training_cover_is_known(
    pushed: tuple[TinyPipeline, list[Path]],
) -> None:
    trained_on = 0
    for found in _explained(pushed):
        nearest = found["nearest"]
        assert nearest["among"] > 100
        similar = [each["similarity"] for each in nearest["covers"]]
        assert similar == sorted(similar, reverse=True)
        name = Path(found["image"]).name
        assert name not in {Path(each["cover"]).name for each in nearest["covers"]}
        if nearest["itself"]:
            trained_on += 1
            assert Path(nearest["itself"]["cover"]).name == name
            assert nearest["itself"]["similarity"] == pytest.approx(1, abs=1e-3)
    assert 4 <= trained_on < 12, "about two thirds of the covers are in the train split"


def test_the_page_shows_the_nearest(
    pushed: tuple[TinyPipeline, list[Path]], tmp_path: Path
) -> None:
    page = tmp_path / "why.html"
    code, seen = pushed[0].command("why", "--output", str(page), str(pushed[1][0]))
    assert code == 0, seen
    assert "nearest of " in seen
    text = page.read_text(encoding="utf-8")
    assert text.count('<figure class="cover">') == 6
    assert "no picture" not in text


def test_a_model_alone_has_probabilities_and_heat_maps(
    runs: Runs, pushed: tuple[TinyPipeline, list[Path]], tmp_path: Path
) -> None:
    tiny, covers = pushed
    model = shutil.copytree(tiny.serving / str(tiny.versions()[-1]), tmp_path / "model")
    elsewhere = TinyPipeline(runs, tmp_path, covers[0].parent)
    arguments = ["why", str(covers[0]), "--model", str(model)]
    code, seen = elsewhere.command(*arguments)
    assert code == 0, seen
    assert " rests on " in seen
    assert "No training covers are at hand" in seen
    code, seen = elsewhere.command(*arguments, "--run", "2026")
    assert code == 2, seen
    assert "that made the model in" in seen


def test_a_model_of_a_cluster_finds_its_training_covers_in_the_store(
    runs: Runs, pushed: tuple[TinyPipeline, list[Path]], s3: dict[str, str], tmp_path: Path
) -> None:
    import fsspec

    tiny, covers = pushed
    report = json.loads(tiny.report().with_suffix(".json").read_text(encoding="utf-8"))
    store = fsspec.filesystem("s3", skip_instance_cache=True, use_listings_cache=False)
    bucket = f"bucket/{tmp_path.name}"
    for key in ("model_run", "examples"):
        artifact = report["provenance"]["artifacts"][key]
        target = f"{bucket}/artifacts/tiny/run-1/{key}-task/7/{key}"
        store.put(artifact["uri"], target, recursive=True)
        artifact["uri"] = f"s3://{target}"
    folder = f"{bucket}/artifacts/tiny/run-1/ReportGen/7/report"
    store.pipe_file(f"{folder}/report.json", json.dumps(report).encode())
    store.put(str(tiny.serving), f"{bucket}/serving", recursive=True)
    elsewhere = TinyPipeline(runs, tmp_path, covers[0].parent)
    arguments = ["why", str(covers[0]), "--destination", f"s3://{bucket}/serving", "--json"]
    code, seen = elsewhere.command(*arguments, "--artifacts", f"s3://{bucket}/artifacts", **s3)
    assert code == 0, seen
    (there,) = (json.loads(line) for line in seen.splitlines() if line.startswith("{"))
    (here,) = _explained((tiny, covers[:1]))
    assert there["nearest"] == here["nearest"]
    code, seen = elsewhere.command(*arguments, "--artifacts", f"s3://{bucket}/serving", **s3)
    assert code == 2, seen
    assert "Expected the report of a run that made the model" in seen
