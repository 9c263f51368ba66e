"""What the shipped configurations learn: test metrics over several seeds, and what they cost.

    python benchmarks/recipe.py DATA [--config covers scratch seed] [--seeds 1 2 3]

ingests DATA once, trains every configuration with every seed using the trainer's `run_fn`, each in
a process of its own, predicts the test split with the exported model and prints a table: means
and, by Student's t, 95% intervals over the seeds; then the calibration error of each genre, and
the debiased one. Seconds are those of `run_fn`, from examples to
exported model, without imports; seeds fix weights, shuffling, dropout and augmentation, not the
splits.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
import warnings
from pathlib import Path

import numpy as np
from scipy import stats

from pipeline.config import PipelineConfig, load_config

COLUMNS = {
    "roc_auc": ("macro ROC AUC", ".3f"),
    "average_precision": ("macro AP", ".3f"),
    "exact_match_ratio": ("exact match", ".3f"),
    "hamming_loss": ("Hamming loss", ".3f"),
    "genres_per_cover": ("genres / cover", ".2f"),
    "cpu": ("CPU s", ".0f"),
    "wall": ("wall s", ".0f"),
}
CALIBRATION = ("calibration error", "debiased one")
WITH_INTERVAL = ("roc_auc", "average_precision")


def main() -> None:
    """Prints a line per training, then the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", type=Path, help="a CSV manifest or a folder of covers")
    parser.add_argument("--config", nargs="+", default=["covers", "scratch", "seed"])
    parser.add_argument("--seeds", nargs="+", type=int, default=[1, 2, 3])
    parser.add_argument("--set", nargs="+", default=[], metavar="KEY=VALUE", dest="overrides")
    parser.add_argument("--measure", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    warnings.simplefilter("ignore")
    configs = {name: load_config(name, options.overrides) for name in options.config}
    if options.measure:
        (config,), (seed,) = configs.values(), options.seeds
        print(json.dumps(measure(options.measure, config, seed)))
        return
    from examples import ingest_covers

    first = next(iter(configs.values()))
    results: dict[str, list[dict[str, float]]] = {name: [] for name in configs}
    with tempfile.TemporaryDirectory(prefix="covers-benchmark-") as folder:
        rows = ingest_covers(options.data, Path(folder), first.schema_text(), first.ingest)
        print(f"{rows:,} rows of {options.data}", flush=True)
        for seed in options.seeds:
            for name, measured in results.items():
                measured.append(run_measure(Path(folder), name, seed, options))
                values = ", ".join(f"{key} {value:.4g}" for key, value in measured[-1].items())
                print(f"{name}, seed {seed}: {values}", flush=True)
    print_table(results)


def run_measure(
    ingested: Path, name: str, seed: int, options: argparse.Namespace
) -> dict[str, float]:
    """Measures one training in a process of its own."""
    command = [sys.executable, "-W", "ignore", __file__, str(options.data)]
    command += ["--config", name, "--seeds", str(seed), "--measure", str(ingested)]
    command += ["--set", *options.overrides] if options.overrides else []
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        sys.exit(done.stderr)
    return json.loads(done.stdout.splitlines()[-1])


def measure(ingested: Path, config: PipelineConfig, seed: int) -> dict[str, float]:
    """Trains once; returns test metrics, and CPU and wall seconds of the training."""
    from examples import patterns, schema_file
    from models import predict, score, train

    from components.contracts.label_schema import TEST_SPLIT, LabelSchema
    from components.contracts.metrics import calibration_error, debiased_calibration_error
    from components.contracts.scores import Scores, Table

    trainer = config.trainer.model_copy(update={"seed": seed})
    config = config.model_copy(update={"trainer": trainer})
    with tempfile.TemporaryDirectory(prefix="covers-benchmark-") as folder:
        wall, cpu = time.perf_counter(), time.process_time()
        model = train(ingested, config, Path(folder))
        wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
        answers = predict(patterns(ingested, TEST_SPLIT), model)
        scores = Scores(Table.of(*answers), np.ones((1, len(answers[0]))))
        errors = zip(
            LabelSchema.from_file(schema_file(ingested)).genres,
            calibration_error(scores)[0],
            debiased_calibration_error(scores)[0],
            strict=True,
        )
        calibration = {
            f"{kind} {genre}": float(value)
            for genre, *values in errors
            for kind, value in zip(CALIBRATION, values, strict=True)
        }
        return {**score(*answers), "cpu": cpu, "wall": wall, **calibration}


def print_table(results: dict[str, list[dict[str, float]]]) -> None:
    """Prints the mean of each column by configuration."""
    print("\n| configuration | " + " | ".join(title for title, _ in COLUMNS.values()) + " |")
    print("|---" * (len(COLUMNS) + 1) + "|")
    for name, measured in results.items():
        cells = []
        for key, (_, form) in COLUMNS.items():
            values = np.array([each[key] for each in measured])
            cell = f"{values.mean():{form}}"
            if key in WITH_INTERVAL and len(values) > 1:
                low, high = stats.t.interval(
                    0.95, len(values) - 1, loc=values.mean(), scale=stats.sem(values)
                )
                cell += f" [{low:{form}}, {high:{form}}]"
            cells.append(cell)
        print(f"| {name} | " + " | ".join(cells) + " |")
    print()
    for name, measured in results.items():
        for kind in CALIBRATION:
            found = {
                key.removeprefix(f"{kind} "): np.mean([each[key] for each in measured])
                for key in measured[0]
                if key.startswith(kind)
            }
            listed = ", ".join(f"{genre} {value:.3f}" for genre, value in found.items())
            print(f"{name}, {kind}: {listed}")


if __name__ == "__main__":
    main()
