"""Wall time, CPU and memory of the stages on Beam, here and on a Flink cluster of this machine.

    python benchmarks/scale.py --covers 1000 10000 [--flink build/flink] [--only flink-2 ...]

`--flink` is the folder that `make test-flink` fills. Covers are synthetic, 300 x 300 JPEG; nearly
all of them are in the test split, so that inference and evaluation see them. The model is tiny:
what is measured is everything but the model. The stages share a process, which has imported what
they need; what workers import is part of the stage. `cpu` and `memory` are those of all processes,
Flink's included: memory is the most that they held at one time, where what they share counts for
each.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

ROOT = Path(__file__).resolve().parent.parent
sys.path.append(str(ROOT / "tests" / "flink"))

STAGES = ("ingest", "statistics", "inference", "evaluation")
_SPLITS = {"train": 0.01, "eval": 0.01, "test": 0.98}
_LOCAL_2 = ("--direct_num_workers=2", "--direct_running_mode=multi_processing")
_PAGE, _TICKS = os.sysconf("SC_PAGE_SIZE"), os.sysconf("SC_CLK_TCK")
_SECONDS_BETWEEN_LOOKS = 0.25


def main() -> None:
    """Prints the table, and how each column grows."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--covers", nargs="+", type=int, default=[1000, 10_000])
    parser.add_argument("--flink", type=Path, help="folder with Flink and Beam's runner")
    parser.add_argument("--only", nargs="+", help="engines: local-1 local-2 flink-1 flink-2")
    parser.add_argument("--measure", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.measure:
        print(json.dumps(measure(**json.loads(options.measure))))
        return
    print("| engine | covers | stage | wall s | cpu s | cpu ms / cover | memory MB |")
    print("|---|---|---|---|---|---|---|")
    points: dict[tuple[str, str], list[tuple[int, float, float]]] = {}
    with tempfile.TemporaryDirectory(prefix="covers-benchmark-") as scratch:
        for covers in sorted(options.covers):
            data = _synthetic(Path(scratch) / "covers", covers)
            for engine in options.only or _engines(options.flink):
                with _arguments(engine, options.flink) as (beam_args, process):
                    folder = Path(scratch) / f"{engine}-{covers}"
                    folder.mkdir()
                    measured = _measured(data, folder, engine, beam_args, process)
                    for stage, m in measured.items():
                        point = (covers, m["wall"], m["cpu"])
                        points.setdefault((engine, stage), []).append(point)
                        print(
                            f"| {engine} | {covers:,} | {stage} | {m['wall']:.1f} | {m['cpu']:.1f} "
                            f"| {1000 * m['cpu'] / covers:.2f} | {m['memory']:.0f} |",
                            flush=True,
                        )
    _print_growth(points)


def _print_growth(points: dict[tuple[str, str], list[tuple[int, float, float]]]) -> None:
    print("\n| engine | stage | wall = s | + ms / cover | cpu = s | + ms / cover |")
    print("|---|---|---|---|---|---|")
    for (engine, stage), measured in points.items():
        if len(measured) > 1:
            covers, *seconds = zip(*measured, strict=True)
            lines = (np.polyfit(covers, each, 1) for each in seconds)
            fitted = " | ".join(f"{fixed:.1f} | {1000 * slope:.3f}" for slope, fixed in lines)
            print(f"| {engine} | {stage} | {fitted} |")


def _engines(flink: Path | None) -> list[str]:
    return ["local-1", "local-2", *(["flink-1", "flink-2"] if flink else [])]


def _synthetic(folder: Path, covers: int) -> Path:
    from ingest import write_synthetic

    return write_synthetic(folder, covers)


@contextlib.contextmanager
def _arguments(engine: str, flink: Path | None) -> Iterator[tuple[list[str], int]]:
    """Yields Beam's arguments and the process whose descendants work as well, or 0."""
    from components.support.compat import LOCAL_BEAM_ARGS
    from pipeline.engine.config import EngineConfig

    name, _, workers = engine.partition("-")
    if name == "local":
        more = _LOCAL_2 if workers == "2" else ()
        yield [*LOCAL_BEAM_ARGS, *more], 0
        return
    if flink is None or not list(flink.glob("beam-runners-flink-*.jar")):
        raise SystemExit("Expected --flink, the folder that `make test-flink` fills.")
    from cluster import running_cluster

    with (
        tempfile.TemporaryDirectory(prefix="covers-flink-") as folder,
        running_cluster(flink.resolve(), Path(folder), int(workers), slots=1) as cluster,
    ):
        config = EngineConfig.model_validate(cluster.options(parallelism=int(workers)))
        yield list(config.beam_args()), os.getpid()


def _measured(
    data: Path, folder: Path, engine: str, beam_args: list[str], process: int
) -> dict[str, dict[str, float]]:
    asked = {"data": str(data), "folder": str(folder), "beam_args": beam_args}
    asked |= {"process": process, "threads": 2 if engine == "local-2" else 1}
    command = [sys.executable, "-W", "ignore", __file__, "--measure", json.dumps(asked)]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        raise SystemExit(f"{engine} failed: {done.stderr[-2000:]}")
    return json.loads(done.stdout.splitlines()[-1])  # type: ignore[no-any-return]


def measure(
    data: str, folder: str, beam_args: list[str], process: int, threads: int
) -> dict[str, dict[str, float]]:
    """Returns stage -> wall and CPU seconds and memory in MB, those of engines included."""
    sys.argv = sys.argv[:1]  # Beam reads the rest
    root = process or os.getpid()
    measured = {}
    for stage in STAGES:
        run = _prepared(stage, Path(data), Path(folder), beam_args, threads)
        with _watching(root) as most:
            wall, cpu = time.perf_counter(), _cpu_seconds(root)
            run()
            wall, cpu = time.perf_counter() - wall, _cpu_seconds(root) - cpu
        measured[stage] = {"wall": wall, "cpu": cpu, "memory": most[0]}
    return measured


def _prepared(
    stage: str, data: Path, folder: Path, beam_args: list[str], threads: int
) -> Callable[[], object]:
    """Imports what a stage needs and returns it."""
    from examples import ingest_covers
    from tfx.types import standard_artifacts

    from components.batch_inference.component import BatchInferenceExecutor
    from components.cover_example_gen.config import IngestConfig
    from components.evaluator.config import EvaluationConfig
    from components.evaluator.executor import Executor as Evaluator
    from components.statistics_gen.executor import Executor as StatisticsGen
    from pipeline.config import load_config

    def artifact(kind: Any, name: str) -> list[Any]:
        made = kind()
        made.uri = str(folder / name)
        return [made]

    context = {"beam_pipeline_args": beam_args, "tmp_dir": str(folder / "temporary")}
    examples = artifact(standard_artifacts.Examples, "examples")
    examples[0].split_names = json.dumps([*_SPLITS])
    predictions = artifact(standard_artifacts.Examples, "predictions")
    predictions[0].split_names = json.dumps(["test"])
    model = artifact(standard_artifacts.Model, "model")
    if stage == "ingest":
        config = IngestConfig(workers=threads, splits=_SPLITS)
        schema = load_config("covers").schema_text()
        # Its workers on this machine are threads.
        alone = [each for each in beam_args if each not in _LOCAL_2]
        return lambda: ingest_covers(data, folder, schema, config, alone)
    if stage == "statistics":
        made = artifact(standard_artifacts.ExampleStatistics, "statistics")
        return lambda: StatisticsGen(StatisticsGen.Context(**context)).Do(
            {"examples": examples}, {"statistics": made}, {"slices": "[]", "exclude_splits": "[]"}
        )
    if stage == "inference":
        _write_model(folder / "model" / "Format-Serving")
        return lambda: BatchInferenceExecutor(BatchInferenceExecutor.Context(**context)).Do(
            {"examples": examples, "model": model}, {"predictions": predictions}, {}
        )
    outputs = {
        "evaluation": artifact(standard_artifacts.ModelEvaluation, "evaluation"),
        "blessing": artifact(standard_artifacts.ModelBlessing, "blessing"),
    }
    properties = {"config": EvaluationConfig().model_dump_json()}
    return lambda: Evaluator(Evaluator.Context(**context)).Do(
        {"examples": predictions, "model": model}, outputs, properties
    )


def _write_model(folder: Path) -> None:
    from serving import _tiny as tiny_model

    tiny_model(folder)


@contextlib.contextmanager
def _watching(root: int) -> Iterator[list[float]]:
    """Yields the most memory, in MB, that a process and its descendants hold at one time."""
    most, done = [0.0], threading.Event()

    def watch() -> None:
        while not done.wait(_SECONDS_BETWEEN_LOOKS):
            pages = sum(_pages(process) for process in _family(root))
            most[0] = max(most[0], pages * _PAGE / 2**20)

    thread = threading.Thread(target=watch, daemon=True)
    thread.start()
    try:
        yield most
    finally:
        done.set()
        thread.join()


def _family(root: int) -> list[int]:
    parents: dict[int, list[int]] = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit() and (fields := _stat(int(entry.name))):
            parents.setdefault(int(fields[1]), []).append(int(entry.name))
    family = [root]
    for process in family:
        family += parents.get(process, [])
    return family


def _cpu_seconds(root: int) -> float:
    """Returns the CPU time of a process, its descendants and those that ended before them."""
    every = (_stat(process) for process in _family(root))
    return sum(sum(map(int, fields[11:15])) for fields in every if fields) / _TICKS


def _pages(process: int) -> int:
    fields = _stat(process)
    return int(fields[21]) if fields else 0


def _stat(process: int) -> list[str]:
    """Returns the fields of /proc/PROCESS/stat after the name; none if the process has ended."""
    try:
        text = Path(f"/proc/{process}/stat").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return []
    return text.rpartition(")")[2].split()


if __name__ == "__main__":
    main()
