"""Checks whether covers are still like those that a model was trained and tested on."""

from __future__ import annotations

import datetime
import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from components.contracts.saved_models import served_version
from components.contracts.signatures import read_model_description
from components.support.errors import ConfigError, DataError
from components.support.file_systems import local_copy
from pipeline.commands.drift.answered import read_answered
from pipeline.commands.drift.comparison import Compared, compare
from pipeline.commands.drift.covers import FACTS, Covers, read_covers
from pipeline.commands.drift.reference import Reference, read_reference, read_stored_reference
from pipeline.commands.drift.result import CONFIDENCE, DECIDED, PROBABILITY, DriftResult
from pipeline.commands.models.places import Where
from pipeline.runner.history import past_runs
from pipeline.runner.workspace import Workspace

PAGE, JSON_FILE = "drift.html", "drift.json"


def check_drift(
    where: Where,
    *,
    log: Path | None = None,
    data: Path | str | None = None,
    model: Path | None = None,
    run: str | None = None,
    artifacts: str | None = None,
    output: Path | None = None,
    least_covers: int,
) -> tuple[DriftResult, Path]:
    """Compares covers with the run that made a model, and writes the result.

    Args:
        where: where runs landed, and where pushed models are.
        log: a request log; or
        data: covers, of which the model is asked.
        model: folder of the model; None is the one that the run pushed, or that was pushed last.
        run: a run's id, or the beginning of it; None is the newest that made the model.
        artifacts: where Kubeflow Pipelines keeps the artifacts of its runs, if one of these made
            the model; None looks for a run in the pipeline root.
        output: folder for the page and its machine-readable twin; None is the pipeline's.
        least_covers: with fewer covers, nothing is compared.

    Returns:
        The result, and the page.

    Raises:
        ConfigError: there is no such run, log or data, or nothing in them; or the options
            contradict each other.
        DeploymentError: there is no such model, or it is damaged.
    """
    if model is None and run is not None and where.destination is None and artifacts is None:
        location = _pushed_by(where.pipeline_root, run)
    else:
        location = where.model(model)
    with local_copy(location) as folder:
        folder = folder.resolve()
        version = str(served_version(folder))
        if artifacts is None:
            reference = read_reference(where.pipeline_root, folder, run)
        else:
            reference = read_stored_reference(artifacts, folder, run)
        if log is not None:
            genres = read_model_description(folder).genres
            covers = read_answered(log, version, len(genres))
        else:
            assert data is not None
            covers = _covers_without_answers(data, folder)
    features = compared_features(reference, covers) if len(covers) >= least_covers else []
    shifts = compare(features, reference.thresholds) if features else []
    result = DriftResult(
        model=location,
        version=version,
        run_id=reference.run_id,
        pipeline=reference.pipeline,
        source=str(log if log is not None else data),
        created=datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds"),
        covers=len(covers),
        least_covers=least_covers,
        trained_on=reference.trained_on,
        tested_on=len(reference.predictions),
        left_out=dict(covers.left_out),
        shifts=tuple(
            sorted(shifts, key=lambda each: (not each.is_drift, -each.distance / each.threshold))
        ),
    )
    target = output or Workspace(where.pipeline_root, reference.pipeline).drift
    return result, _write(target, result, features)


def _covers_without_answers(data: Path | str, model: Path) -> Covers:
    try:
        return read_covers(data, model)
    except DataError as error:  # whose exit code means drift here
        raise ConfigError(str(error)) from error


def compared_features(reference: Reference, covers: Covers) -> list[Compared]:
    """Returns what is compared: facts with the covers trained on, outputs with those tested on."""
    return [
        *(Compared(name, reference.facts[name], covers.facts[name]) for name in FACTS),
        *_outputs(reference, covers),
    ]


def _outputs(reference: Reference, covers: Covers) -> Iterator[Compared]:
    tested = reference.predictions
    for place, genre in enumerate(tested.genres):
        decided = (np.where(each.decisions[:, place], "yes", "no") for each in (tested, covers))
        yield Compared(f"{DECIDED}{genre}", *decided)
        yield Compared(
            f"{PROBABILITY}{genre}", tested.probabilities[:, place], covers.probabilities[:, place]
        )
    yield Compared(CONFIDENCE, tested.probabilities.max(axis=1), covers.probabilities.max(axis=1))


def _pushed_by(pipeline_root: Path, run: str) -> str:
    found = [each for each in past_runs(pipeline_root) if each.run_id.startswith(run)]
    pushed = [each.result.pushed_model for each in found if each.result]
    for folder in pushed:
        if folder:
            return str(folder)
    received = f"{len(found)} that pushed none" if found else "no such run"
    raise ConfigError(
        f"Expected run {run!r} in {pipeline_root}, with the model that it pushed. Received: "
        f"{received}. See the runs with `covers runs`, or give the model with --model."
    )


def _write(folder: Path, result: DriftResult, features: list[Compared]) -> Path:
    """Writes the page and its machine-readable twin, and returns the page."""
    from pipeline.commands.drift.page import render_page

    page = render_page(result, {each.name: each for each in features})
    try:
        folder.mkdir(parents=True, exist_ok=True)
        text = json.dumps(result.to_dict(), indent=1, allow_nan=False)
        (folder / JSON_FILE).write_text(text + "\n", encoding="utf-8")
        (folder / PAGE).write_text(page, encoding="utf-8")
    except OSError as error:
        raise ConfigError(
            f"Expected a folder for the report at {folder}. Received: {error.strerror}. Name "
            "another one with --output."
        ) from error
    return folder / PAGE
