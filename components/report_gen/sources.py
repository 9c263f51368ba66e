"""What a report is made from: the artifacts of a run, as far as it got, and facts about it."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from components.contracts.decisions import Decision


@dataclasses.dataclass(frozen=True)
class Sources:
    """Folders of the artifacts of a run; None for what the run did not make.

    Attributes:
        schema: holds the label schema.
        examples: holds a folder of TFRecord files for each split.
        quarantine: the quarantined rows and the row counts of ingest.
        statistics: TFDV's statistics, by split.
        anomalies: TFDV's anomalies, by split.
        model: the SavedModel.
        predictions: the models' outputs for the test split.
        model_run: history and findings of the training.
        evaluation: what TFX's Evaluator wrote.
        infra_blessing: what InfraValidator found.
        tuner_results: the trials of the search for options.
        baseline_model: the SavedModel that this one was compared with.
    """

    schema: Path | None = None
    examples: Path | None = None
    quarantine: Path | None = None
    statistics: Path | None = None
    anomalies: Path | None = None
    model: Path | None = None
    predictions: Path | None = None
    model_run: Path | None = None
    evaluation: Path | None = None
    infra_blessing: Path | None = None
    tuner_results: Path | None = None
    baseline_model: Path | None = None


@dataclasses.dataclass(frozen=True)
class RunFacts:
    """What is known about a run besides its artifacts.

    Attributes:
        pipeline: name of the pipeline.
        outcome: `pushed`, `not_blessed`, `data_stopped`, `misconfigured`, `failed` or
            `interrupted`.
        data: the data as given for the run.
        data_fingerprint: hash of the data's content, or an empty string.
        config: the pipeline's configuration, ready for JSON.
        decision: what the gate that stopped the run decided, or passed with warnings; None if
            no gate on the data decided.
        error: any other reason why the run ended without a pushed model, or an empty string.
        stages: node -> state; empty if not known.
        pushed_to: where the pushed version is, or None.
        baseline_version: the version compared with, or None.
        passed_over: why newer pushed versions are not the baseline, one sentence each.
        artifacts: artifact -> `uri` and, where there is one, `id` in ML Metadata.
        run_id: identity of the run, or an empty string.
        log_file: what the libraries logged, or an empty string.
        on_cluster: whether it ran on Kubeflow Pipelines, not on this machine.
    """

    pipeline: str
    outcome: str
    data: str = ""
    data_fingerprint: str = ""
    config: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    decision: Decision | None = None
    error: str = ""
    stages: Mapping[str, str] = dataclasses.field(default_factory=dict)
    pushed_to: str | None = None
    baseline_version: str | None = None
    passed_over: tuple[str, ...] = ()
    artifacts: Mapping[str, Mapping[str, Any]] = dataclasses.field(default_factory=dict)
    run_id: str = ""
    log_file: str = ""
    on_cluster: bool = False
