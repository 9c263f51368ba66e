"""How fast `covers predict --output` is beside the SavedModel alone, and how much memory it needs.

    PYTHONPATH=. python benchmarks/predict.py COVERS [--model DIR] [--covers 512] [--most 100000]

COVERS is a folder with JPEG files. The SavedModel, asked in a loop about images that are in memory,
at its best batch size, and `covers predict` take turns; where other work shares the processors,
their own time says more than the clock's. Without --model, the network of the configuration
`covers` answers with the weights it starts with, which takes as long. Memory is shown with a tiny
model, for ever more covers, the largest number of which are killed twice on the way.
Target: 0.9 of the model alone, and memory that does not grow.
"""

from __future__ import annotations

import argparse
import itertools
import os
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

from serving import _tiny as tiny_model
from serving import _untrained as untrained_model

from components.contracts.saved_models import load_saved_model
from components.contracts.signatures import IMAGE_BYTES, SERVING_SIGNATURE

BATCHES = (1, 4, 8, 32)
ROUNDS = 3
SOURCES = 128
KILLS = 2

Seconds = tuple[float, float]
"""By the clock, and of processors."""


def main() -> None:
    """Prints the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("images", type=Path, metavar="COVERS", help="folder with JPEG files")
    parser.add_argument("--model", type=Path, help="a SavedModel of this project")
    parser.add_argument("--covers", type=int, default=512, help="in each comparison")
    parser.add_argument("--most", type=int, default=100_000, help="covers while memory is watched")
    options = parser.parse_args()
    files = sorted(options.images.rglob("*.jp*g"))[:SOURCES]
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        model = options.model or untrained_model(folder / "covers")
        _compare(model, files, options.covers, folder)
        _memory(tiny_model(folder / "tiny"), files, options.most, folder)


def _compare(model: Path, files: Sequence[Path], covers: int, folder: Path) -> None:
    given, single = (_manifest(files, number, folder) for number in (covers, 1))
    asked = load_saved_model(model, SERVING_SIGNATURE).ask
    images = [file.read_bytes() for file in itertools.islice(itertools.cycle(files), covers)]

    def alone(batch: int) -> Seconds:
        wall, cpu = time.perf_counter(), time.process_time()
        for start in range(0, covers, batch):
            asked(**{IMAGE_BYTES: images[start : start + batch]})
        return time.perf_counter() - wall, time.process_time() - cpu

    found = {batch: alone(batch) for batch in BATCHES for _ in range(2)}  # the second is warm
    for batch, (wall, cpu) in found.items():
        print(
            f"SavedModel alone, batches of {batch:<20} {covers / wall:8.1f} images/s, "
            f"{1000 * cpu / covers:.1f} ms of CPU a cover"
        )
    best = min(found, key=found.__getitem__)
    turns = []
    for _ in range(ROUNDS):
        turns.append((alone(best), _seconds(model, single, folder), _seconds(model, given, folder)))
    for kind, name in enumerate(("wall", "CPU")):
        bare, start, whole = (
            [seconds[kind] for seconds in each] for each in zip(*turns, strict=True)
        )
        ratios = [
            (covers - 1) / (all_of_it - empty) * one / covers
            for one, empty, all_of_it in zip(bare, start, whole, strict=True)
        ]
        shown = ", ".join(f"{ratio:.2f}" for ratio in ratios)
        ratio = statistics.median(ratios)
        print(f"covers predict / SavedModel alone, in turns, {name:<4}{ratio:8.2f} ({shown})")
        print(f"its start, with one cover, {name:<22}{statistics.median(start):8.1f} s")


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


def _seconds(model: Path, given: Path, folder: Path) -> Seconds:
    begin = time.perf_counter()
    process = _start(model, given, folder / "answers.csv")
    _, status, used = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    assert process.returncode == 0
    return time.perf_counter() - begin, used.ru_utime + used.ru_stime


def _start(model: Path, given: Path, output: Path) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", "pipeline", "predict", str(given), "--model", str(model)]
    command += ["--output", str(output)]
    return subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


if __name__ == "__main__":
    main()
