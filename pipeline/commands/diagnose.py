"""Explains whether and why metrics stand still: for a past run, or a model and labelled covers."""

from __future__ import annotations

import dataclasses
import textwrap
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from components.contracts import nodes
from components.contracts.diagnosis import OF_KEPT_FEATURES, read_diagnosis
from components.contracts.files import serving_model
from components.contracts.label_schema import SCHEMA_FILE_NAME, LabelSchema
from components.contracts.predictions import read_predictions
from components.contracts.signatures import read_model_description
from components.cover_example_gen.remote import local_data
from components.report_gen.leakage import check_leakage
from components.report_gen.transfer import check_predictions_on_test
from components.support.errors import ConfigError
from pipeline.commands.labelled_covers import read_labelled_covers

if TYPE_CHECKING:
    from components.trainer.diagnostics.examine import Diagnosis

_WIDTH = 96


def diagnose_run(pipeline_root: Path, run: str | None, range_steps: int) -> tuple[str, Diagnosis]:
    """Examines the training of a run.

    Args:
        pipeline_root: where runs landed.
        run: a run's id, or the beginning of it; None is the latest that trained.
        range_steps: steps of the learning-rate range test; 0 leaves it out.

    Returns:
        What was examined, and the diagnosis.

    Raises:
        ConfigError: there is no such run, it did not train, or it was pruned.
        DeploymentError: the server of ML Metadata is away.
    """
    from pipeline.runner.history import open_history

    history = open_history(pipeline_root)
    past = history.runs() if history else []
    from components.trainer.diagnostics.examine import examine_training  # brings TensorFlow

    candidates = [each.run_id for each in past if each.run_id.startswith(run or "")]
    for run_id in candidates:
        assert history is not None
        trained = history.outputs(run_id, nodes.TRAINER)
        if nodes.MODEL_RUN in trained:
            ingested = history.outputs(run_id, nodes.COVER_EXAMPLE_GEN)[nodes.EXAMPLES].uri
            schema = history.outputs(run_id, nodes.LABEL_SCHEMA_GEN)[nodes.SCHEMA].uri
            model_run = Path(trained[nodes.MODEL_RUN].uri)
            model = serving_model(trained[nodes.MODEL].uri)
            labels = LabelSchema.from_file(Path(schema) / SCHEMA_FILE_NAME)
            diagnosis = examine_training(model_run, model, Path(ingested), labels, range_steps)
            told = [found for found in read_diagnosis(model_run) if found.code in OF_KEPT_FEATURES]
            asked = history.outputs(run_id, nodes.BATCH_INFERENCE)
            if nodes.PREDICTIONS in asked:
                folder = Path(asked[nodes.PREDICTIONS].uri)
                predictions = read_predictions(folder, read_model_description(model))
                told += check_predictions_on_test(model_run, predictions)
            noted = history.outputs(run_id, nodes.COVER_EXAMPLE_GEN).get(nodes.QUARANTINE)
            told += check_leakage(labels.genres, Path(ingested), Path(noted.uri) if noted else None)
            diagnosis = dataclasses.replace(diagnosis, findings=[*diagnosis.findings, *told])
            return f"run {run_id}, the {diagnosis.split} split", diagnosis
    wanted = f"run {run!r}" if run else "a run"
    raise ConfigError(
        f"Expected {wanted} in {pipeline_root} that got as far as training, and was not pruned. "
        f"Received: {f'{len(candidates)} that did not, or was' if candidates else 'none'}. "
        "Start one with: covers run"
    )


def diagnose_model(model: Path, data: Path | str) -> tuple[str, Diagnosis]:
    """Examines a model's predictions of labelled covers.

    Args:
        model: folder of a SavedModel of this project.
        data: a manifest, a folder with one folder per genre, a folder of spans, or the URL of one.

    Raises:
        DeploymentError: the folder holds no model of this project, or an object store failed.
        DataError: no row can be used.
    """
    from components.trainer.diagnostics.examine import examine_model

    with local_data(str(data)) as local:
        description = read_model_description(model)
        covers = read_labelled_covers(local, description.genres, description.background)
    diagnosis = examine_model(model, covers.encoded, covers.labels)
    measured = [*covers.account(), *diagnosis.measured]
    return (
        f"{model}, {len(covers.encoded):,} covers of {data}",
        dataclasses.replace(diagnosis, measured=measured),
    )


def describe(subject: str, diagnosis: Diagnosis) -> Iterator[str]:
    """Yields a diagnosis as lines for a person."""
    yield f"Examined: {subject}"
    for sentence in diagnosis.measured:
        yield from _wrapped("  - ", sentence)
    if not diagnosis.findings:
        yield "No findings: nothing is wrong."
        return
    number = len(diagnosis.findings)
    yield f"{number} finding{'s' if number > 1 else ''}:"
    for finding in diagnosis.findings:
        yield ""
        yield from _wrapped("  ! ", f"{finding.code.replace('_', ' ')}: {finding.sentence}")
        yield from _wrapped("    -> ", finding.remedy)


def to_dict(subject: str, diagnosis: Diagnosis) -> dict[str, Any]:
    """Returns a diagnosis ready for JSON."""
    return {
        "examined": subject,
        "measured": diagnosis.measured,
        "findings": [finding.to_dict() for finding in diagnosis.findings],
    }


def _wrapped(lead: str, text: str) -> list[str]:
    return textwrap.wrap(
        text,
        _WIDTH,
        initial_indent=lead,
        subsequent_indent=" " * len(lead),
        break_on_hyphens=False,
        break_long_words=False,
    )
