"""Whether a network from a file trains to the same model as the built-in one.

    python benchmarks/backbones.py DATA [--from named saved_model keras] [--image-size 260]

EfficientNet-lite2 with its ImageNet weights is written as a SavedModel and as a .keras file. The
configuration `covers` is trained with each as its only backbone, and the exported model predicts
the test split. The rows are to be equal to 1e-5; seconds are those of the training run.
"""

from __future__ import annotations

import argparse
import os
import tempfile
import time
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

from examples import ingest_covers, patterns
from models import predict_and_score, train

from components.contracts.label_schema import TEST_SPLIT
from components.trainer.backbone import build_backbones
from components.trainer.config import Backbone
from pipeline.config import load_config

_METRICS = ("roc_auc", "average_precision", "f1", "hamming_loss")
_LITE2 = Backbone(name="EfficientNetLite2", features="stages", fine_tune="none")


def main() -> None:
    """Prints a table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", type=Path, help="a CSV manifest or a folder of covers")
    parser.add_argument(
        "--from", nargs="+", default=["named", "saved_model", "keras"], dest="sources"
    )
    parser.add_argument("--image-size", type=int, default=_LITE2.image_size)
    options = parser.parse_args()
    print(f"| backbone | {' | '.join(_METRICS)} | wall s |")
    print("|---" * (len(_METRICS) + 2) + "|")
    with tempfile.TemporaryDirectory(prefix="covers-benchmark-") as name:
        folder = Path(name)
        network = build_backbones([_LITE2], options.image_size)
        network.save(folder / "lite2.keras")
        network.export(folder / "lite2", verbose=False)
        backbones = {
            "named": "{name: EfficientNetLite2, features: stages, fine_tune: none}",
            "saved_model": f"{{saved_model: {folder / 'lite2'}}}",
            "keras": f"{{keras: {folder / 'lite2.keras'}}}",
        }
        first = load_config("covers")
        ingest_covers(options.data, folder, first.schema_text(), first.ingest)
        for source in options.sources:
            config = load_config(
                "covers",
                [
                    f"trainer.backbone={backbones[source]}",
                    f"trainer.image_size={options.image_size}",
                ],
            )
            start = time.perf_counter()
            model = train(folder, config, folder / source)
            seconds = time.perf_counter() - start
            scores = predict_and_score(patterns(folder, TEST_SPLIT), model)
            cells = " | ".join(f"{scores[metric]:.6f}" for metric in _METRICS)
            print(f"| {source} | {cells} | {seconds:.0f} |", flush=True)


if __name__ == "__main__":
    main()
