"""The shipped configurations' models in ONNX and TensorFlow Lite: size, speed, agreement.

    python benchmarks/export.py DATA [--config covers cnn] [--epochs 3] [--covers 256]

Ingests DATA, trains each configuration for a few epochs, exports the model, and asks it and both
conversions about the same covers. Speeds are covers a second from pixels to probabilities, one at
a time and in batches of 32, the fastest of the rounds. `other pixels` is the share of the covers'
pixel values that the example of docs/export.md computes otherwise than TensorFlow, and the last
column what that does to a probability.
"""

from __future__ import annotations

import argparse
import os
import re
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import numpy as np
import tensorflow as tf
from examples import ingest_covers
from models import train

from components.contracts.saved_models import load_saved_model
from components.contracts.signatures import (
    IMAGE_BYTES,
    PIXELS,
    PIXELS_SIGNATURE,
    PROBABILITIES,
    SERVING_SIGNATURE,
)
from components.trainer.preprocessing import decode_and_resize_batch
from pipeline.commands.export.command import export_pushed
from pipeline.commands.export.formats import FORMATS, Answer
from pipeline.commands.export.parity import read_covers
from pipeline.config import load_config

PAGE = Path(__file__).parent.parent / "docs" / "export.md"


def main() -> None:
    """Prints the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", type=Path, help="a CSV manifest or a folder of covers")
    parser.add_argument("--config", nargs="+", default=["covers", "cnn"])
    parser.add_argument("--epochs", type=int, default=3)
    parser.add_argument("--covers", type=int, default=256, help="covers to compare on")
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    images = options.data if options.data.is_dir() else options.data.parent
    encoded = read_covers([images], "#ffffff")[: options.covers]
    print(f"{len(encoded):,} covers, {len(os.sched_getaffinity(0))} cores, TF {tf.__version__}")
    print(
        "| configuration | runtime | MB | one at a time | batches of 32 | largest difference "
        "| other pixels | difference with them |"
    )
    print("|---|---|---|---|---|---|---|---|")
    with tempfile.TemporaryDirectory(prefix="covers-benchmark-") as name:
        folder = Path(name)
        first = load_config(options.config[0])
        ingest_covers(options.data, folder, first.schema_text(), first.ingest)
        for name in options.config:
            config = load_config(name, [f"trainer.epochs={options.epochs}"])
            run = folder / name
            run.mkdir()
            measure(name, train(folder, config, run), encoded, run, options.rounds)


def measure(title: str, model: Path, encoded: list[bytes], folder: Path, rounds: int) -> None:
    """Prints the rows of one model."""
    serving = load_saved_model(model, SERVING_SIGNATURE)
    side = serving.description.image_size
    expected = batched(lambda part: serving.ask(**{IMAGE_BYTES: part})[PROBABILITIES], encoded)
    pixels = decode_and_resize_batch(tf.constant(encoded), side).numpy()
    by_example = example_pixels(encoded, side, folder)
    other = f"{(by_example != pixels).mean():.2%}"
    saved = load_saved_model(model, PIXELS_SIGNATURE)
    size = sum(file.stat().st_size for file in model.rglob("*") if file.is_file())
    ways: dict[str, tuple[Answer, int]] = {
        "TensorFlow": (lambda part: saved.ask(**{PIXELS: part})[PROBABILITIES], size)
    }
    for name, each in FORMATS.items():
        exported = export_pushed(model, name, folder / f"model{each.suffix}", ())
        ways[each.runtime] = (each.load(exported.file), exported.size)
    # One round of all after the other: each meets the same neighbours on the machine.
    speeds = [
        {
            way: (speed(ask, pixels[:32], 1), speed(ask, pixels[:128], 32))
            for way, (ask, _) in ways.items()
        }
        for _ in range(rounds)
    ]
    for way, (ask, size) in ways.items():
        one, many = (max(each[way][column] for each in speeds) for column in (0, 1))
        difference = np.abs(batched(ask, pixels) - expected).max()
        with_other = np.abs(batched(ask, by_example) - expected).max()
        cells = [title, way, f"{size / 1e6:.1f}", f"{one:,.0f}", f"{many:,.0f}"]
        print(
            f"| {' | '.join(cells)} | {difference:.1e} | {other} | {with_other:.1e} |", flush=True
        )


def batched(ask: Callable[[Any], np.ndarray], inputs: Any) -> np.ndarray:
    """Returns the probabilities of all inputs, asked for in batches of 32."""
    return np.concatenate([ask(inputs[first : first + 32]) for first in range(0, len(inputs), 32)])


def speed(ask: Answer, pixels: np.ndarray, batch: int) -> float:
    """Returns covers a second, after a first batch that is not counted."""
    ask(pixels[:batch])
    started = time.perf_counter()
    for first in range(0, len(pixels), batch):
        ask(pixels[first : first + batch])
    return len(pixels) / (time.perf_counter() - started)


def example_pixels(encoded: list[bytes], side: int, folder: Path) -> np.ndarray:
    """Returns what `pixels` of the page's example makes of covers."""
    (code,) = re.findall(r"```python\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)
    scope: dict[str, Any] = {}
    exec(code.partition("\n\nmodel, cover =")[0], scope)  # without the lines that use it
    rows = []
    for content in encoded:
        (folder / "cover").write_bytes(content)
        rows.append(scope["pixels"](folder / "cover", side))
    return np.stack(rows)


if __name__ == "__main__":
    main()
