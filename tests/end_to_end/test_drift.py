"""Covers that came after the push are compared with those of the run, by the command itself."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from PIL import Image

from components.contracts.request_log.writer import RequestLog
from components.contracts.saved_models import load_saved_model
from components.contracts.signatures import (
    DECISIONS,
    IMAGE_BYTES,
    PROBABILITIES,
    SERVING_SIGNATURE,
)
from pipeline.commands.predict import accept_with_facts
from tests.end_to_end.tiny import TinyPipeline

pytestmark = pytest.mark.slow

_OF_ONE_CHECK = dict.fromkeys(("model", "run_id", "created", "report"))


def _answer(tiny: TinyPipeline, covers: list[bytes], log: Path, version: int | None = None) -> None:
    """Does what a server does that keeps all covers."""
    newest = tiny.versions()[-1]
    model = load_saved_model(tiny.serving / str(newest), SERVING_SIGNATURE)
    kept = RequestLog(log, share=1.0, largest_bytes=1 << 30)
    for encoded in covers:
        image, facts = accept_with_facts(encoded, model.description.background)
        answer = model.ask(**{IMAGE_BYTES: [image]})
        probabilities, decisions = (answer[key][0].tolist() for key in (PROBABILITIES, DECISIONS))
        kept.record(image, facts, probabilities, decisions, version or newest)
    kept.close()


def _grey(covers: list[Path], folder: Path) -> Iterator[Path]:
    folder.mkdir()
    for path in covers:
        target = folder / path.name
        Image.open(path).convert("L").convert("RGB").save(target, quality=95)
        yield target


def test_a_request_log_of_like_covers_has_not_drifted_and_one_of_grey_covers_has(
    pushed: tuple[TinyPipeline, list[Path]], tmp_path: Path
) -> None:
    tiny, covers = pushed
    half = covers[::2]
    _answer(tiny, [path.read_bytes() for path in half], tmp_path / "like")
    code, seen = tiny.command("drift", "--log", str(tmp_path / "like"))
    assert code == 0, seen
    assert "No drift" in seen
    _answer(
        tiny, [path.read_bytes() for path in _grey(half, tmp_path / "grey")], tmp_path / "unlike"
    )
    code, seen = tiny.command("drift", "--log", str(tmp_path / "unlike"), "--json")
    assert code == 3, seen
    found = json.loads(seen)
    assert Path(found["report"]).is_file()
    assert "saturation" in seen


def test_neither_a_folder_nor_a_manifest_needs_genres(
    pushed: tuple[TinyPipeline, list[Path]], tmp_path: Path
) -> None:
    tiny, covers = pushed
    grey = list(_grey(covers[::2], tmp_path / "grey"))
    code, seen = tiny.command("drift", "--data", str(tmp_path / "grey"))
    assert code == 3, seen
    manifest = tmp_path / "covers.csv"
    with manifest.open("w", newline="") as file:
        csv.writer(file).writerows([["image"], *([f"grey/{path.name}"] for path in grey)])
    code, seen = tiny.command("drift", "--data", str(manifest))
    assert code == 3, seen
    assert "image/saturation" in seen


def _move_to_a_cluster(tiny: TinyPipeline, bucket: str) -> None:
    """Puts what a run made where a run on Kubeflow has it, of which nothing is known here."""
    import fsspec

    report = json.loads(tiny.report().with_suffix(".json").read_text(encoding="utf-8"))
    store = fsspec.filesystem("s3", skip_instance_cache=True, use_listings_cache=False)
    known = report["provenance"]["artifacts"]
    for scheme, key in (("s3://", "schema"), ("/s3/", "examples"), ("s3://", "predictions")):
        target = f"{bucket}/artifacts/tiny/run-1/{key}-task/7/{key}"
        store.put(known[key]["uri"], target, recursive=True)
        known[key]["uri"] = scheme + target
    folder = f"{bucket}/artifacts/tiny/run-1/ReportGen/7/report"
    store.pipe_file(f"{folder}/report.json", json.dumps(report).encode())
    other = {"provenance": {**report["provenance"], "recipe": "of another model"}}
    store.pipe_file(
        f"{bucket}/artifacts/tiny/run-2/ReportGen/8/report/report.json", json.dumps(other).encode()
    )
    store.pipe_file(f"{bucket}/artifacts/tiny/run-3/ReportGen/9/report/report.json", b'{"prov')
    store.put(str(tiny.serving), f"{bucket}/serving", recursive=True)


def test_a_model_of_a_cluster_is_compared_with_the_artifacts_in_its_store(
    pushed: tuple[TinyPipeline, list[Path]], s3: dict[str, str], tmp_path: Path
) -> None:
    tiny, covers = pushed
    bucket = f"bucket/{tmp_path.name}"
    _move_to_a_cluster(tiny, bucket)
    log = tmp_path / "log"
    _answer(tiny, [path.read_bytes() for path in covers[::2]], log)
    arguments = [
        "drift", "--log", str(log), "--destination", f"s3://{bucket}/serving",
        "--output", str(tmp_path / "drift"), "--json",
    ]  # fmt: skip
    code, seen = tiny.command(*arguments, "--artifacts", f"s3://{bucket}/artifacts", **s3)
    assert code == 0, seen
    found = json.loads(seen)
    assert found["run_id"] == "run-1"
    assert found["shifts"]
    code, seen = tiny.command("drift", "--log", str(log), "--json")
    assert {**found, **_OF_ONE_CHECK} == {**json.loads(seen), **_OF_ONE_CHECK}

    code, seen = tiny.command(
        *arguments, "--artifacts", f"s3://{bucket}/artifacts/tiny/run-2", **s3
    )
    assert code == 2, seen
    assert "Expected the report of a run that made the model" in seen
    assert "Received: 1 reports, none of them." in seen


@pytest.mark.parametrize(
    ("arguments", "code"),
    [(["--log", "nowhere"], 2), (["--data", "nowhere"], 2), ([], 2)],
)
def test_what_is_not_there_is_refused(
    pushed: tuple[TinyPipeline, list[Path]], arguments: list[str], code: int
) -> None:
    found, seen = pushed[0].command("drift", *arguments)
    assert found == code, seen


def test_exit_code_3_means_drift_and_nothing_else(
    pushed: tuple[TinyPipeline, list[Path]], tmp_path: Path
) -> None:
    tiny, covers = pushed
    (tmp_path / "empty").mkdir()
    code, seen = tiny.command("drift", "--data", str(tmp_path / "empty"))
    assert code == 2, seen
    _answer(tiny, [covers[0].read_bytes()], tmp_path / "log", version=1)
    code, seen = tiny.command("drift", "--log", str(tmp_path / "log"))
    assert code == 0, seen
    assert "oo few covers" in seen and "answered by another version" in seen
