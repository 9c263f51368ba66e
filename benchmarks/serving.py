"""How fast, how steady and how safe `covers serve` is, on the loopback interface.

    python benchmarks/serving.py COVERS [--model DIR] [--seconds 20] [--requests 100000]

COVERS is a folder with JPEG files. Clients and server share this machine, so compare ratios: the
SavedModel alone at its best batch size, and the server, take turns. Without --model, the network of
the configuration `covers` answers with the weights it starts with, which takes as long. Reloads,
SIGKILL and memory are shown with a tiny model. Target: the server at 0.85 of the model alone, no
failed request in twenty reloads, nothing lost at SIGKILL but what is in flight, and flat memory.
"""

from __future__ import annotations

import argparse
import os
import shutil
import statistics
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras
import numpy as np
from load import Load, Server, closed_loop, open_loop, serving

from components.trainer.export import export_model
from components.trainer.model import build_model
from components.trainer.thresholds import DecisionRule
from pipeline.config import load_config
from pipeline.serving.model import ServedModel, load_model

GENRES = ("electronic", "hiphop", "jazz", "pop", "rock")
BATCHES = (1, 4, 8, 16, 32)
COVERS = 128
ROUNDS = 5
RELOADS = 20
CLIENTS = 16
SAMPLES = 10


def main() -> None:
    """Prints the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("covers", type=Path, help="folder with JPEG files")
    parser.add_argument("--model", type=Path, help="a SavedModel of this project")
    parser.add_argument("--seconds", type=float, default=20, help="of each measurement")
    parser.add_argument("--requests", type=int, default=100_000, help="while memory is watched")
    options = parser.parse_args()
    files = sorted(options.covers.rglob("*.jp*g"))[:COVERS]
    images = [file.read_bytes() for file in files]
    with tempfile.TemporaryDirectory() as scratch:
        model = options.model or _untrained(Path(scratch) / "covers")
        _speed(model, images, options.seconds)
        tiny = _tiny(Path(scratch) / "tiny")
        _reloads(tiny, Path(scratch) / "destination", images)
        _kill(tiny, images)
        _memory(tiny, images, options.requests)


def _row(name: str, value: str) -> None:
    print(f"{name:<52}{value}", flush=True)


def _speed(folder: Path, images: Sequence[bytes], seconds: float) -> None:
    bare = load_model(folder, 1, str(folder))
    turns = [
        {size: _bare(bare, images, size, seconds / 4) for size in BATCHES} for _ in range(ROUNDS)
    ]
    speeds = {size: statistics.median(turn[size] for turn in turns) for size in BATCHES}
    for size, speed in speeds.items():
        _row(f"SavedModel alone, batches of {size}", f"{speed:.1f} images/s")
    best = max(speeds, key=lambda size: speeds[size])
    with serving("--model", str(folder), "--max-batch", str(best), "--timeout", "300") as server:
        alone, served, alone_cpu, served_cpu = [], [], [], []
        for _ in range(ROUNDS):
            begin = time.process_time()
            alone.append(_bare(bare, images, best, seconds))
            alone_cpu.append((time.process_time() - begin) / (alone[-1] * seconds))
            begin = server.cpu_seconds()
            load = closed_loop(server.base, images, 2 * best, _for(seconds))
            _insist(load)
            served.append(load.per_second)
            served_cpu.append((server.cpu_seconds() - begin) / len(load.seconds))
        ratios = [b / a for a, b in zip(alone, served, strict=True)]
        _row(f"server, {2 * best} clients, batches of up to {best}", f"{max(served):.1f} images/s")
        each = ", ".join(f"{ratio:.2f}" for ratio in ratios)
        _row("server / SavedModel alone, in turns", f"{statistics.median(ratios):.2f} ({each})")
        cpu = [1000 * statistics.median(each) for each in (alone_cpu, served_cpu)]
        _row("processor time per image, SavedModel / server", f"{cpu[0]:.0f} ms / {cpu[1]:.0f} ms")
        half = open_loop(server.base, images, statistics.median(served) / 2, 2 * seconds)
        _insist(half)
        times = f"p50 {1000 * half.quantile(50):.0f} ms, p99 {1000 * half.quantile(99):.0f} ms"
        _row(f"time to answer at half load, {half.per_second:.1f} images/s", times)


def _bare(model: ServedModel, images: Sequence[bytes], batch: int, seconds: float) -> float:
    """Returns the images a second that the model answers in batches."""
    batches = [images[at : at + batch] for at in range(0, len(images) - batch + 1, batch)]
    model.ask(batches[0])
    begin, done = time.perf_counter(), 0
    while time.perf_counter() - begin < seconds:
        for each in batches:
            model.ask(each)
            done += len(each)
            if time.perf_counter() - begin >= seconds:
                break
    return done / (time.perf_counter() - begin)


def _reloads(tiny: Path, destination: Path, images: Sequence[bytes]) -> None:
    _push(tiny, destination, 1)
    arguments = ("--destination", str(destination), "--poll-seconds", "0.2")
    with serving(*arguments) as server:
        memory = []

        def is_done(load: Load) -> bool:
            loaded = sum("serves version" in line for line in server.said)
            if loaded > len(memory):
                memory.append(server.megabytes())
                if loaded <= RELOADS:
                    _push(tiny, destination, loaded + 1)
            return loaded > RELOADS

        load = closed_loop(server.base, images, CLIENTS, is_done)
    _row(
        f"failed requests during {RELOADS} reloads, {CLIENTS} clients",
        f"{len(load.failed)} of {len(load.seconds) + len(load.failed):,}",
    )
    _row("memory after reload 1, 10, 20", ", ".join(f"{memory[n]:.0f} MB" for n in (1, 10, 20)))


def _kill(tiny: Path, images: Sequence[bytes]) -> None:
    with serving("--model", str(tiny)) as server:
        begin = time.monotonic()

        def is_over(load: Load) -> bool:
            if time.monotonic() - begin > 3:
                server.process.kill()
            return bool(load.failed)

        load = closed_loop(server.base, images, CLIENTS, is_over)
    _row(
        f"lost at SIGKILL, {CLIENTS} clients",
        f"{len(load.failed)} of {len(load.seconds) + len(load.failed):,} requests",
    )


def _memory(tiny: Path, images: Sequence[bytes], requests: int) -> None:
    with serving("--model", str(tiny)) as server:
        samples: list[float] = []
        load = closed_loop(server.base, images, CLIENTS, _counting(server, samples, requests))
        _insist(load)
    _row(f"requests a second of a tiny model, {CLIENTS} clients", f"{load.per_second:.0f}")
    shown = ", ".join(f"{sample:.0f}" for sample in samples)
    _row(f"memory at each tenth of {requests:,} requests, MB", shown)


def _counting(server: Server, samples: list[float], requests: int) -> Callable[[Load], bool]:
    def is_done(load: Load) -> bool:
        if len(load.seconds) >= (len(samples) + 1) * requests / SAMPLES:
            samples.append(server.megabytes())
        return len(load.seconds) >= requests

    return is_done


def _for(seconds: float) -> Callable[[Load], bool]:
    end = time.monotonic() + seconds
    return lambda load: time.monotonic() > end


def _insist(load: Load) -> None:
    if load.failed:
        raise SystemExit(f"{len(load.failed)} requests failed, the first with {load.failed[0]}")


def _push(model: Path, destination: Path, version: int) -> None:
    destination.mkdir(exist_ok=True)
    partial = shutil.copytree(model, destination.with_name(f"partial-{version}"))
    Path(partial).rename(destination / str(version))


def _untrained(folder: Path) -> Path:
    config = load_config("covers").trainer.model_copy(update={"output_bias": "zeros"})
    return _export(build_model(config, len(GENRES)).network, folder)


def _tiny(folder: Path) -> Path:
    layers = [
        keras.Input((32, 32, 3), dtype="uint8"),
        keras.layers.Rescaling(1 / 255),
        keras.layers.GlobalAveragePooling2D(),
        keras.layers.Dense(len(GENRES), "sigmoid"),
    ]
    return _export(keras.Sequential(layers), folder)


def _export(network: keras.Model, folder: Path) -> Path:
    rule = DecisionRule(np.full(len(GENRES), 0.5, np.float32), at_least_one_genre=True)
    export_model(network, GENRES, rule, "benchmark", folder)
    return folder


if __name__ == "__main__":
    main()
