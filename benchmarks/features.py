"""How much time a second training run saves when the features of its frozen backbone are kept.

    python benchmarks/features.py DATA [--config covers]

Both are whole calls of `run_fn`, from examples to exported model. The second one has another hidden
layer, learning rate and number of epochs, and reads the features that the first one kept. The
target is a quarter of the first one's wall time.
"""

from __future__ import annotations

import argparse
import os
import tempfile
import time
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

from examples import ingest_covers
from models import train

from pipeline.config import load_config

TARGET = 0.25
_OTHER_HEAD = (
    "trainer.layers=[{Dropout: {rate: 0.3}}, {Dense: {units: 256, activation: relu}}]",
    "trainer.optimizer={AdamW: {learning_rate: 0.0003}}",
    "trainer.epochs=12",
)


def main() -> None:
    """Prints a table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", type=Path, help="a CSV manifest or a folder of covers")
    parser.add_argument("--config", default="covers")
    options = parser.parse_args()
    trainings = {
        "first": load_config(options.config),
        "another head": load_config(options.config, _OTHER_HEAD),
    }
    seconds = []
    print("| training run | wall s | CPU s |")
    print("|---|---|---|")
    with tempfile.TemporaryDirectory(prefix="covers-benchmark-") as name:
        folder = Path(name)
        config = trainings["first"]
        ingest_covers(options.data, folder, config.schema_path, config.ingest)
        for training, config in trainings.items():
            wall, cpu = time.perf_counter(), time.process_time()
            train(folder, config, folder / training, features=folder / "features")
            seconds.append(time.perf_counter() - wall)
            print(
                f"| {training} | {seconds[-1]:.1f} | {time.process_time() - cpu:.1f} |", flush=True
            )
        kept = sum(file.stat().st_size for file in (folder / "features").iterdir())
    ratio = seconds[1] / seconds[0]
    print(
        f"\nRatio {ratio:.3f}; target {TARGET}, {'met' if ratio <= TARGET else 'missed'}. ", end=""
    )
    print(f"Features of {kept / 1e6:.0f} MB are kept.")


if __name__ == "__main__":
    main()
