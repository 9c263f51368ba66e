"""How fast `covers predict --output` is beside the SavedModel alone, and how much memory it needs.

    PYTHONPATH=. python benchmarks/predict.py COVERS [--model DIR] [--covers 256] [--most 100000]

COVERS is a folder with JPEG files. The SavedModel, asked in a loop about images that are in memory,
and what `covers predict` does once it has started take turns in one process; where other work
shares the processors, their own time says more than the clock's. Without --model, the network of
the configuration `covers` answers with the weights it starts with, which takes as long. Memory is
shown with a tiny model, for ever more covers, the largest number of which are killed twice on the
way.
Target: 0.9 of the model alone, and memory that does not grow.
"""

from __future__ import annotations

import argparse
import functools
import io
import itertools
import os
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

from serving import _tiny as tiny_model
from serving import _untrained as untrained_model

from components.contracts.saved_models import load_saved_model
from components.contracts.signatures import IMAGE_BYTES, SERVING_SIGNATURE
from pipeline.commands.batch_prediction.job import predict_to_file

BATCHES = (1, 4, 8, 32)
ROUNDS = 5
SOURCES = 128
KILLS = 2


def main() -> None:
    """Prints the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("images", type=Path, metavar="COVERS", help="folder with JPEG files")
    parser.add_argument("--model", type=Path, help="a SavedModel of this project")
    parser.add_argument("--covers", type=int, default=256, help="in each comparison")
    parser.add_argument("--most", type=int, default=100_000, help="covers while memory is watched")
    options = parser.parse_args()
    files = sorted(options.images.rglob("*.jp*g"))[:SOURCES]
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        model = options.model or untrained_model(folder / "covers")
        _compare(model, files, options.covers, folder)
        _memory(tiny_model(folder / "tiny"), files, options.most, folder)


def _compare(model: Path, files: Sequence[Path], covers: int, folder: Path) -> None:
    given = _manifest(files, covers, folder)
    asked = load_saved_model(model, SERVING_SIGNATURE).ask
    images = [file.read_bytes() for file in itertools.islice(itertools.cycle(files), covers)]

    def alone(batch: int) -> None:
        for start in range(0, covers, batch):
            asked(**{IMAGE_BYTES: images[start : start + batch]})

    def command() -> None:
        predict_to_file([str(given)], folder / "a.csv", model=model, console=io.StringIO())

    ways: dict[str, Callable[[], None]] = {"covers predict": command}
    for batch in BATCHES:
        ways[f"SavedModel alone, batches of {batch}"] = functools.partial(alone, batch)
    for way in ways.values():
        way()  # the first time is for TensorFlow to trace, and to find memory
    turns = [{name: _seconds(way) for name, way in ways.items()} for _ in range(ROUNDS)]
    for kind, name in enumerate(("the clock", "processor time")):
        spent = {way: [turn[way][kind] for turn in turns] for way in ways}
        for way, seconds in spent.items():
            print(f"{way:<36}{covers / statistics.median(seconds):8.1f} covers/s by {name}")
        whole = spent.pop("covers predict")
        best = min(spent.values(), key=statistics.median)
        ratios = [one / all_of_it for one, all_of_it in zip(best, whole, strict=True)]
        shown = ", ".join(f"{ratio:.2f}" for ratio in ratios)
        ratio = statistics.median(ratios)
        print(f"covers predict / the best of them   {ratio:8.2f} ({shown}) by {name}")


def _seconds(way: Callable[[], None]) -> tuple[float, float]:
    """Returns the seconds that something takes by the clock, and of processors."""
    wall, cpu = time.perf_counter(), time.process_time()
    way()
    return time.perf_counter() - wall, time.process_time() - cpu


def _memory(model: Path, files: Sequence[Path], most: int, folder: Path) -> None:
    for covers in (most // 100, most // 10, most):
        given = _manifest(files, covers, folder)
        begin = time.perf_counter()
        process = _start(model, given, folder / "whole.csv")
        memory = _most_memory(process)
        rate = covers / (time.perf_counter() - begin)
        print(
            f"tiny model, {covers:>9,} covers                     {memory:8.0f} MB "
            f"at most, {rate:.0f} images/s"
        )
    for kill in range(KILLS):
        process = _start(model, given, folder / "killed.csv")
        parts = folder / ".killed.csv.parts"
        wanted = (kill + 1) * most // 1024 // (KILLS + 1)
        while len(list(parts.glob("*.jsonl"))) < wanted and process.poll() is None:
            time.sleep(0.05)
        process.send_signal(signal.SIGKILL)
        process.wait()
    assert _start(model, given, folder / "killed.csv").wait() == 0
    same = (folder / "killed.csv").read_bytes() == (folder / "whole.csv").read_bytes()
    print(f"killed {KILLS} times, the same file                   {same!s:>8}")


def _most_memory(process: subprocess.Popen[bytes]) -> float:
    """Waits for a process, and returns the most memory that it had, in MB."""
    status, most = Path(f"/proc/{process.pid}/status"), 0.0
    while process.poll() is None:
        for line in status.read_text().splitlines():
            if line.startswith("VmHWM:"):
                most = int(line.split()[1]) / 1024
        time.sleep(0.1)
    return most


def _manifest(files: Sequence[Path], covers: int, folder: Path) -> Path:
    """Writes a manifest of so many covers, which names each file many times."""
    images = folder / "images"
    images.mkdir(exist_ok=True)
    for number, file in enumerate(files):
        copy = images / f"{number}.jpg"
        if not copy.exists():
            copy.write_bytes(file.read_bytes())
    names = itertools.islice(itertools.cycle(range(len(files))), covers)
    manifest = folder / f"{covers}.csv"
    manifest.write_text("image\n" + "".join(f"images/{name}.jpg\n" for name in names))
    return manifest


def _start(model: Path, given: Path, output: Path) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", "pipeline", "predict", str(given), "--model", str(model)]
    command += ["--output", str(output)]
    return subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


if __name__ == "__main__":
    main()
