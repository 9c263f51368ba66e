"""How long TFX's Evaluator takes, beside a plain loop over the model and scikit-learn.

    python benchmarks/evaluation.py pipeline_root/covers

takes the newest examples and models of a pipeline, evaluates the test split in several ways and
prints a table: wall and CPU seconds, without imports, which every process pays once. The bound
is 2 times the plain loop plus 10 seconds.
"""

from __future__ import annotations

import argparse
import dataclasses
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
from google.protobuf import json_format
from models import predict_and_score
from tfx.components.evaluator.executor import Executor
from tfx.types import standard_artifacts

from components.contracts.label_schema import TEST_SPLIT, LabelSchema
from components.contracts.signatures import read_model_description
from components.evaluator.config import EvaluationConfig, Intervals
from components.evaluator.eval_config import make_eval_config
from components.support.compat import LOCAL_BEAM_ARGS

_SCHEMA = Path(__file__).parent.parent / "schema" / "schema.pbtxt"
_SLACK_SECONDS = 10.0


def main() -> None:
    """Runs the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("artifacts", type=Path, help="folder of a pipeline below a pipeline root")
    parser.add_argument("--only", help="run only the rows whose name contains this")
    arguments = parser.parse_args()
    sys.argv = sys.argv[:1]  # Beam reads the rest
    logging.set_verbosity(logging.ERROR)
    artifacts: Path = arguments.artifacts
    examples = _newest(artifacts / "CoverExampleGen" / "examples")
    model = _newest(artifacts / "Trainer" / "model")
    genres = read_model_description(model / "Format-Serving").genres
    schema = dataclasses.replace(LabelSchema.from_file(_SCHEMA), genres=genres)

    def evaluator(config: EvaluationConfig, baseline: bool, **options: Any) -> Callable[[], object]:
        return lambda: evaluate(examples, model, schema, config, baseline, options)

    default, plain = EvaluationConfig(), EvaluationConfig(intervals=Intervals(resamples=0))

    def plain_loop() -> object:
        test_files = [str(examples / f"Split-{TEST_SPLIT}" / "*")]
        return predict_and_score(test_files, model / "Format-Serving")

    rows: dict[str, Callable[[], object]] = {
        "warm-up: model + scikit-learn": plain_loop,
        "model + scikit-learn": plain_loop,
        "Evaluator, no intervals": evaluator(plain, False),
        "Evaluator": evaluator(default, False),
        "Evaluator, with a pushed model": evaluator(default, True),
        "Evaluator, TFMA jackknife": evaluator(plain, False, **_tfma_intervals("JACKKNIFE")),
        "Evaluator, TFMA Poisson bootstrap": evaluator(
            plain, False, **_tfma_intervals("POISSON_BOOTSTRAP")
        ),
    }
    seconds: dict[str, float] = {}
    print(f"{'':<36}{'wall s':>8}{'CPU s':>8}")
    for name, work in rows.items():
        if arguments.only and arguments.only not in name and "scikit" not in name:
            continue
        wall, cpu = time.perf_counter(), time.process_time()
        work()
        seconds[name] = time.perf_counter() - wall
        print(f"{name:<36}{seconds[name]:8.1f}{time.process_time() - cpu:8.1f}", flush=True)
    bound = 2 * seconds["model + scikit-learn"] + _SLACK_SECONDS
    print(f"\nbound: {bound:.1f} s; Evaluator: {seconds.get('Evaluator', float('nan')):.1f} s")


def evaluate(
    examples: Path,
    model: Path,
    schema: LabelSchema,
    config: EvaluationConfig,
    baseline: bool,
    options: dict[str, Any],
) -> None:
    """Runs TFX's own executor as the pipeline does; the model is its own baseline."""
    with tempfile.TemporaryDirectory() as scratch:
        eval_config = make_eval_config(schema, config)
        json_format.ParseDict(options, eval_config.options)
        inputs = {
            "examples": [_artifact(standard_artifacts.Examples, examples)],
            "model": [_artifact(standard_artifacts.Model, model)],
        }
        inputs["examples"][0].split_names = json.dumps([TEST_SPLIT])
        if baseline:
            inputs["baseline_model"] = [_artifact(standard_artifacts.Model, model)]
        outputs = {
            "evaluation": [
                _artifact(standard_artifacts.ModelEvaluation, Path(scratch) / "evaluation")
            ],
            "blessing": [_artifact(standard_artifacts.ModelBlessing, Path(scratch) / "blessing")],
        }
        properties = {
            "eval_config": json_format.MessageToJson(eval_config),
            "example_splits": json.dumps([TEST_SPLIT]),
            "fairness_indicator_thresholds": "null",
            "module_path": "components.evaluator.extractors",
        }
        context = Executor.Context(
            beam_pipeline_args=list(LOCAL_BEAM_ARGS), tmp_dir=f"{scratch}/tmp"
        )
        Executor(context).Do(inputs, outputs, properties)


def _tfma_intervals(method: str) -> dict[str, Any]:
    return {"compute_confidence_intervals": True, "confidence_intervals": {"method": method}}


def _artifact(artifact_type: Any, path: Path) -> Any:
    artifact = artifact_type()
    artifact.uri = str(path)
    return artifact


def _newest(folder: Path) -> Path:
    return max(folder.iterdir(), key=lambda path: int(path.name))


if __name__ == "__main__":
    main()
