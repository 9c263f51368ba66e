"""What leakage would have been worth: near-duplicates across splits, in ROC AUC.

    python benchmarks/leakage.py DATA [--repeats 10]

Hand-made features (thumbnail, colour histogram) and extra trees, trained and tested on many
draws of a 70 / 30 split: by cover, as a plain hash split does it, and by near-duplicate group, as
ingest does it. `leaked` are test covers with a near-duplicate in the training split.
"""

from __future__ import annotations

import argparse
import csv
import hashlib
import io
import sys
import warnings
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import numpy as np
from PIL import Image
from sklearn.ensemble import ExtraTreesClassifier
from sklearn.metrics import roc_auc_score

from components.contracts.label_schema import LabelSchema
from components.cover_example_gen.groups import Arrival, assign_places
from components.cover_example_gen.images import AcceptedImages, inspect_image
from components.cover_example_gen.near_duplicates import find_near_duplicates
from components.cover_example_gen.sources import Row, find_source
from components.cover_example_gen.splits import assign_split
from pipeline.config import load_config

SHARES = {"train": 0.7, "eval": 0.1, "test": 0.2}


def main() -> None:
    """Prints the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", type=Path, help="a CSV manifest of distinct covers")
    parser.add_argument("--repeats", type=int, default=10, help="draws of each split")
    parser.add_argument(
        "--pairs", type=Path, help="write the near-duplicate pairs to this CSV file"
    )
    arguments = parser.parse_args()
    warnings.simplefilter("ignore")
    paths, arrivals, features, labels = read_covers(arguments.data)
    pairs = find_near_duplicates([arrival.perceptual_hash for arrival in arrivals], workers=2)
    places = assign_places(arrivals, SHARES)
    groups = [places[arrival.image_id].group for arrival in arrivals]
    print_pairs(arrivals, groups, pairs, labels)
    if arguments.pairs:
        write_pairs(arguments.pairs, paths, pairs)
    names = {"by cover": [arrival.image_id for arrival in arrivals], "by group": groups}
    print("| split | macro ROC AUC | leaked test covers | AUC on the leaked | AUC on the others |")
    print("|---|---|---|---|---|")
    for split, keys in names.items():
        runs = [evaluate(keys, seed, features, labels, pairs) for seed in range(arguments.repeats)]
        mean = np.nanmean(np.array(runs), axis=0)
        error = np.std([run[0] for run in runs], ddof=1) / len(runs) ** 0.5
        leaked = "-" if np.isnan(mean[2]) else f"{mean[2]:.3f}"
        overall = f"{mean[0]:.4f} +- {error:.4f}"
        print(f"| {split} | {overall} | {mean[1]:.1f} | {leaked} | {mean[3]:.4f} |", flush=True)


def read_covers(
    data: Path,
) -> tuple[list[str], list[Arrival], np.ndarray, np.ndarray]:
    """Returns paths, arrivals, features (n, f) and labels (n, genres), ordered by identity."""
    schema = LabelSchema.from_text(load_config("covers").schema_text())
    source = find_source(data)

    def read(row: Row) -> tuple[str, Arrival, np.ndarray, list[float]]:
        encoded = (source.directory / row.path).read_bytes()
        facts = inspect_image(encoded, AcceptedImages(schema.image_formats, 1, 10_000))
        arrival = Arrival(0, facts.image_id, facts.perceptual_hash)
        label = schema.multi_hot(filter(None, map(schema.match, row.genres)))
        return row.path, arrival, describe(encoded), label

    with ThreadPoolExecutor(2) as pool:
        covers = sorted(pool.map(read, source.rows()), key=lambda cover: cover[1].image_id)
    paths, arrivals, features, labels = zip(*covers, strict=True)
    return list(paths), list(arrivals), np.stack(features), np.array(labels)


def describe(encoded: bytes) -> np.ndarray:
    """Returns hand-made features of an image: a 12 x 12 thumbnail and a colour histogram."""
    with Image.open(io.BytesIO(encoded)) as image:
        image.draft("RGB", (150, 150))
        rgb = image.convert("RGB")
    thumbnail = np.asarray(rgb.resize((12, 12), Image.Resampling.BOX), np.float32).ravel()
    hue, saturation, value = (
        np.asarray(band) // size
        for band, size in zip(rgb.convert("HSV").split(), (22, 64, 64), strict=True)
    )
    bins = (hue.astype(int) * 4 + saturation) * 4 + value
    return np.concatenate([thumbnail, np.bincount(bins.ravel(), minlength=192)[:192]])


def evaluate(
    keys: list[str], seed: int, features: np.ndarray, labels: np.ndarray, pairs: np.ndarray
) -> tuple[float, float, float, float]:
    """Returns AUC, leaked test covers, AUC on those, AUC on the other test covers."""
    train = np.array([_position(key, seed) < 0.7 for key in keys])
    model = ExtraTreesClassifier(300, min_samples_leaf=2, n_jobs=2, random_state=seed)
    model.fit(features[train], labels[train])
    scores = np.stack([p[:, 1] for p in model.predict_proba(features)], axis=1)
    across = pairs[train[pairs[:, 0]] != train[pairs[:, 1]]]
    leaked = np.zeros(len(keys), bool)
    leaked[across.ravel()] = True
    leaked &= ~train
    return (
        _auc(labels[~train], scores[~train]),
        float(leaked.sum()),
        _auc(labels[leaked], scores[leaked]),
        _auc(labels[~train & ~leaked], scores[~train & ~leaked]),
    )


def print_pairs(
    arrivals: list[Arrival], groups: list[str], pairs: np.ndarray, labels: np.ndarray
) -> None:
    """Prints how many near-duplicates there are, and how splits separate them."""
    sizes = np.unique(groups, return_counts=True)[1]
    sizes = sizes[sizes > 1]
    by_cover = draw_splits([arrival.image_id for arrival in arrivals])
    by_group = draw_splits(groups)
    parted = [sum(split[a] != split[b] for a, b in pairs) for split in (by_cover, by_group)]
    differ = sum((labels[a] != labels[b]).any() for a, b in pairs)
    print(
        f"{len(arrivals):,} covers, {len(pairs)} near-duplicate pairs: {sizes.sum()} covers in "
        f"{len(sizes)} groups, the largest of {sizes.max()}; {differ} pairs differ in labels"
    )
    print(f"pairs across train / eval / test: {parted[0]} split by cover, {parted[1]} by group\n")


def draw_splits(keys: list[str]) -> list[str]:
    """Returns the split that ingest draws for each key."""
    return [assign_split(key, SHARES) for key in keys]


def write_pairs(file: Path, paths: list[str], pairs: np.ndarray) -> None:
    """Writes the paths of each pair, for a look at them."""
    with file.open("w", newline="", encoding="utf-8") as out:
        writer = csv.writer(out)
        writer.writerow(["cover", "near_duplicate"])
        writer.writerows((paths[later], paths[earlier]) for later, earlier in pairs)


def _position(key: str, seed: int) -> float:
    digest = hashlib.sha256(f"{seed} {key}".encode()).digest()
    return int.from_bytes(digest[:8], "big") / 2**64


def _auc(labels: np.ndarray, scores: np.ndarray) -> float:
    usable = [k for k in range(labels.shape[1]) if 0 < labels[:, k].sum() < len(labels)]
    if not usable:
        return float("nan")
    return float(np.mean([roc_auc_score(labels[:, k], scores[:, k]) for k in usable]))


if __name__ == "__main__":
    main()
