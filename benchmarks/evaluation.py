"""How long a run takes from a trained model to its report, beside one bare pass of the model.

    python benchmarks/evaluation.py pipeline_root/covers

takes the newest examples and model of a pipeline and runs the nodes BatchInference, Evaluator and
ReportGen on the test split as the pipeline does: wall and CPU seconds, without imports, which every
process pays once. The bare pass is the model over batches of the same covers, and scikit-learn. The
bound is 1.15 times the bare pass plus 12 seconds for the three nodes together.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

from absl import logging
from models import predict_and_score
from tfx.types import standard_artifacts

from components.batch_inference.component import BatchInferenceExecutor
from components.contracts import nodes
from components.contracts.artifacts import Quarantine, Report
from components.contracts.files import serving_model, split_pattern
from components.contracts.label_schema import TEST_SPLIT
from components.evaluator.config import EvaluationConfig
from components.evaluator.executor import Executor
from components.report_gen.component import INPUT_TYPES, ReportGenExecutor
from components.support.compat import LOCAL_BEAM_ARGS

_FACTOR, _SLACK_SECONDS = 1.15, 12.0
_BARE = "model + scikit-learn"
_NODES = (nodes.BATCH_INFERENCE, nodes.EVALUATOR, nodes.REPORT_GEN)

Artifacts = dict[str, list[Any]]


def main() -> None:
    """Runs the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("artifacts", type=Path, help="folder of a pipeline below a pipeline root")
    parser.add_argument("--baseline", action="store_true", help="compare the model with itself")
    parser.add_argument("--output", type=Path, help="folder for the report and the evaluation")
    arguments = parser.parse_args()
    sys.argv = sys.argv[:1]  # Beam reads the rest
    logging.set_verbosity(logging.ERROR)
    with tempfile.TemporaryDirectory() as scratch:
        measure(_given(arguments.artifacts), arguments.output or Path(scratch), arguments.baseline)


def measure(given: Artifacts, folder: Path, baseline: bool) -> None:
    """Runs the bare pass and the three nodes, and prints the table."""
    test_files = [split_pattern(given[nodes.EXAMPLES][0].uri, TEST_SPLIT)]
    model = serving_model(given[nodes.MODEL][0].uri)
    models = {nodes.MODEL: given[nodes.MODEL]} | (
        {nodes.BASELINE_MODEL: given[nodes.MODEL]} if baseline else {}
    )
    made = {
        nodes.PREDICTIONS: _artifact(standard_artifacts.Examples, folder / "predictions"),
        nodes.EVALUATION: _artifact(standard_artifacts.ModelEvaluation, folder / "evaluation"),
        nodes.BLESSING: _artifact(standard_artifacts.ModelBlessing, folder / "blessing"),
    }
    report = {nodes.REPORT: _artifact(Report, folder / "report")}
    context = {"beam_pipeline_args": list(LOCAL_BEAM_ARGS), "tmp_dir": str(folder / "tmp")}
    config = EvaluationConfig()
    work: dict[str, Callable[[], object]] = {
        "warm-up: " + _BARE: lambda: predict_and_score(test_files, model),
        _BARE: lambda: predict_and_score(test_files, model),
        nodes.BATCH_INFERENCE: lambda: BatchInferenceExecutor(
            BatchInferenceExecutor.Context(**context)
        ).Do(
            {nodes.EXAMPLES: given[nodes.EXAMPLES], **models},
            {nodes.PREDICTIONS: made[nodes.PREDICTIONS]},
            {},
        ),
        nodes.EVALUATOR: lambda: Executor(Executor.Context(**context)).Do(
            {nodes.EXAMPLES: made[nodes.PREDICTIONS], **models},
            {key: made[key] for key in (nodes.EVALUATION, nodes.BLESSING)},
            {"config": config.model_dump_json()},
        ),
        nodes.REPORT_GEN: lambda: ReportGenExecutor().Do(
            {
                key: found
                for key, found in {**given, **models, **made}.items()
                if key in INPUT_TYPES
            },
            report,
            {
                "config": json.dumps({"name": "benchmark"}),
                "data": "",
                "data_fingerprint": "",
                "push_destination": str(folder / "serving"),
            },
        ),
    }
    seconds: dict[str, float] = {}
    print(f"{'':<36}{'wall s':>8}{'CPU s':>8}")
    for name, run in work.items():
        wall, cpu = time.perf_counter(), time.process_time()
        run()
        seconds[name] = time.perf_counter() - wall
        print(f"{name:<36}{seconds[name]:8.1f}{time.process_time() - cpu:8.1f}", flush=True)
    total = sum(seconds[name] for name in _NODES)
    bound = _FACTOR * seconds[_BARE] + _SLACK_SECONDS
    print(f"{' + '.join(_NODES):<44}{total:.1f} s; bound {bound:.1f} s")


def _given(pipeline: Path) -> Artifacts:
    """Finds the newest artifacts of the nodes before the evaluation."""
    places = {
        nodes.SCHEMA: (standard_artifacts.Schema, nodes.LABEL_SCHEMA_GEN),
        nodes.EXAMPLES: (standard_artifacts.Examples, nodes.COVER_EXAMPLE_GEN),
        nodes.QUARANTINE: (Quarantine, nodes.COVER_EXAMPLE_GEN),
        nodes.STATISTICS: (standard_artifacts.ExampleStatistics, nodes.STATISTICS_GEN),
        nodes.ANOMALIES: (standard_artifacts.ExampleAnomalies, nodes.EXAMPLE_VALIDATOR),
        nodes.MODEL: (standard_artifacts.Model, nodes.TRAINER),
        nodes.MODEL_RUN: (standard_artifacts.ModelRun, nodes.TRAINER),
    }
    given = {
        key: _artifact(artifact_type, _newest(pipeline / node / key))
        for key, (artifact_type, node) in places.items()
    }
    given[nodes.EXAMPLES][0].split_names = json.dumps([TEST_SPLIT])
    return given


def _artifact(artifact_type: Any, path: Path) -> list[Any]:
    artifact = artifact_type()
    artifact.uri = str(path)
    return [artifact]


def _newest(folder: Path) -> Path:
    return max(folder.iterdir(), key=lambda path: int(path.name))


if __name__ == "__main__":
    main()
