"""How faithful heat maps are: what is left of a decision when the hottest parts are hidden first.

    python benchmarks/why.py MODEL_RUN COVERS [--number N]

MODEL_RUN is the trainer's model_run artifact of a run on frozen EfficientNet-lite backbones; COVERS
a folder. A map is the better, the faster the log-odds of the decision fall (area under the curve of
the fall, as a share of the fall with all hidden); 0.5 is what a random map gives.
"""

from __future__ import annotations

import argparse
import json
import os
import time
from collections.abc import Callable
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras
import numpy as np
import tensorflow as tf
from sklearn.metrics import auc

from components.contracts.signatures import CONFIG_FILE, HISTORY_FILE, WEIGHTS_FILE
from components.trainer.config import TrainerConfig
from components.trainer.efficientnet_lite import stage_ends
from components.trainer.head import split_at_features
from components.trainer.kernel_head import with_empty_kernel
from components.trainer.model import build_model, without_pretrained_weights
from components.trainer.preprocessing import decode_and_resize
from pipeline.commands.why.heat_map import CELLS, blurred, heat_maps, log_odds

_SHARES = (1 / 16, 1 / 8, 1 / 4, 1 / 2)
Fill = Callable[[np.ndarray], np.ndarray]


def load_network(model_run: Path, genres: int) -> keras.Model:
    """Returns the network that a run trained."""
    text = (model_run / CONFIG_FILE).read_text(encoding="utf-8")
    config = without_pretrained_weights(TrainerConfig.model_validate_json(text))
    network = build_model(config, genres).network
    if config.kernel:
        history = json.loads((model_run / HISTORY_FILE).read_text(encoding="utf-8"))
        network = with_empty_kernel(network, history["kernel"])
    network.load_weights(model_run / WEIGHTS_FILE)
    return network


def grad_cam(network: keras.Model) -> Callable[[np.ndarray, int], np.ndarray]:
    """Returns Grad-CAM (Selvaraju et al., 2017) on the last maps of each backbone, summed."""
    joined, (_, head) = network.layers[1], split_at_features(network)
    backbones = [layer for layer in joined.layers if isinstance(layer, keras.Model)] or [joined]
    ends = [
        keras.Model(each.input, [each.get_layer(stage_ends(each)[-1]).output, each.output])
        for each in backbones
    ]

    def explain(pixels: np.ndarray, genre: int) -> np.ndarray:
        image = tf.constant(pixels[None], tf.float32)
        with tf.GradientTape() as tape:
            maps, vectors = zip(*(end(image) for end in ends), strict=True)
            tape.watch(maps)
            chance = head(tf.concat(vectors, axis=-1))[0, genre]
            odds = tf.math.log(chance) - tf.math.log1p(-chance)
        total = np.zeros((CELLS, CELLS))
        for gradient, each in zip(tape.gradient(odds, maps), maps, strict=True):
            weights = tf.reduce_mean(gradient, axis=(1, 2), keepdims=True)
            heat = tf.nn.relu(tf.reduce_sum(weights * each, axis=-1))
            total += tf.image.resize(heat[..., None], (CELLS, CELLS), antialias=True)[0, ..., 0]
        return np.asarray(total)

    return explain


def deletion(ask: Callable, pixels: np.ndarray, heat: np.ndarray, genre: int, fill: Fill) -> float:
    """Returns the area under the fall of the log-odds, the hottest cells hidden first."""
    order = np.argsort(-heat.ravel(), kind="stable")
    hidden = fill(pixels)
    edges = np.arange(CELLS + 1) * len(pixels) // CELLS
    covers = [pixels]
    for share in (*_SHARES, 1.0):
        cover = pixels.copy()
        for cell in order[: round(share * len(order))]:
            row, column = divmod(int(cell), CELLS)
            part = np.s_[edges[row] : edges[row + 1], edges[column] : edges[column + 1]]
            cover[part] = hidden[part]
        covers.append(cover)
    odds = log_odds(ask(np.stack(covers)))[:, genre]
    fall = (odds[0] - odds) / (odds[0] - odds[-1])
    return float(auc((0.0, *_SHARES, 1.0), fall))


def main() -> None:
    """Prints a row for each way to make a map."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("model_run", type=Path)
    parser.add_argument("covers", type=Path)
    parser.add_argument("--genres", type=int, default=5)
    parser.add_argument("--number", type=int, default=12)
    given = parser.parse_args()
    network = load_network(given.model_run, given.genres)
    forward = tf.function(lambda covers: network(covers, training=False))

    def ask(covers: np.ndarray) -> np.ndarray:
        return np.concatenate([forward(covers[i : i + 8]) for i in range(0, len(covers), 8)])

    cam, random = grad_cam(network), np.random.default_rng(0)
    methods: dict[str, Callable[[np.ndarray, int], np.ndarray]] = {
        "occlusion": lambda pixels, genre: heat_maps(pixels, ask).cells[genre],
        "Grad-CAM": cam,
        "random": lambda *_: random.random((CELLS, CELLS)),
    }
    fills: dict[str, Fill] = {
        "blurred": blurred,
        "mean colour": lambda p: np.broadcast_to(p.mean((0, 1)), p.shape).astype(np.uint8),
    }
    scores: dict[tuple[str, str], list[float]] = {}
    seconds: dict[str, list[float]] = {name: [] for name in methods}
    files = sorted(path for path in given.covers.rglob("*") if path.suffix == ".jpg")
    for file in np.random.default_rng(1).permutation(np.array(files))[: given.number]:
        pixels = decode_and_resize(file.read_bytes(), network.input_shape[1]).numpy()
        genre = int(ask(pixels[None])[0].argmax())
        for name, method in methods.items():
            started = time.perf_counter()
            heat = method(pixels, genre)
            seconds[name].append(time.perf_counter() - started)
            for fill, make in fills.items():
                found = deletion(ask, pixels, heat, genre, make)
                scores.setdefault((name, fill), []).append(found)
    print(f"{given.number} covers; median area under the fall of the log-odds")
    for name in methods:
        row = "  ".join(f"{fill} {np.median(scores[name, fill]):.2f}" for fill in fills)
        print(f"{name:<12} {row}  {np.median(seconds[name]):.1f} s a cover")


if __name__ == "__main__":
    main()
