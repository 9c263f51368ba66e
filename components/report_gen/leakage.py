"""Leakage suspects: covers in two splits, and genres that files tell without their pictures."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path, PurePosixPath

import numpy as np
from sklearn.ensemble import ExtraTreesClassifier
from sklearn.metrics import roc_auc_score

from components.contracts.diagnosis import Finding
from components.contracts.files import COMPRESSED_SUFFIX, split_folder
from components.contracts.genre_names import listing, spelling
from components.contracts.label_schema import (
    IMAGE_FORMAT,
    IMAGE_GROUP,
    IMAGE_HEIGHT,
    IMAGE_PATH,
    IMAGE_SIZE,
    IMAGE_WIDTH,
    LABEL,
    SPLITS,
)
from components.contracts.quarantine import read_summary
from components.support.compat import input_options

_LEAST_AREA = 0.7
_LEAST_SURE_AREA = 0.6
_STANDARD_ERRORS = 3.0
_FEWEST_COVERS = 30  # with a genre, and without
_FOLDS = 5
_TREES = 50
_LEAST_IN_A_LEAF = 10
_MOST_OF_A_SPLIT = 10_000
_AT_ONCE = 512
_MOST_VALUES = 200
_SEED = 0


@dataclasses.dataclass(frozen=True)
class FileFacts:
    """What files are besides their pictures.

    Attributes:
        formats: such as JPEG.
        sides: width and height in pixels, shape (covers, 2).
        sizes: bytes.
        folders: of the first path of each cover, without folders that name a genre.
        groups: near-duplicate group of each cover.
        labels: bool, shape (covers, genres).
    """

    formats: Sequence[str]
    sides: np.ndarray
    sizes: np.ndarray
    folders: Sequence[str]
    groups: Sequence[str]
    labels: np.ndarray


def check_leakage(genres: Sequence[str], examples: Path, quarantine: Path | None) -> list[Finding]:
    """Finds why a model may be worse on new covers than on the test split.

    Args:
        genres: in the order of the labels.
        examples: folder of the splits.
        quarantine: what ingest noted, or None.

    Raises:
        DeploymentError: the notes of ingest cannot be read.
    """
    summary = read_summary(quarantine) if quarantine else None
    facts = read_file_facts(genres, examples)
    if summary is None or not PurePosixPath(summary.source).suffix:
        # Without a manifest the folders gave the genres.
        facts = dataclasses.replace(facts, folders=[""] * len(facts.folders))
    return [
        *check_straddling(summary.straddling if summary else {}),
        *check_files(genres, facts),
    ]


def check_straddling(pairs: Mapping[str, int]) -> list[Finding]:
    """Finds near-duplicates in different splits, which only splits given by the data have.

    Args:
        pairs: the two splits -> number of pairs.
    """
    total = sum(pairs.values())
    if not total:
        return []
    listed = listing([f"{count:,} in {splits}" for splits, count in pairs.items()])
    return [
        Finding(
            "near_duplicates_across_splits",
            "warning",
            f"{total:,} pair{'' if total == 1 else 's'} of near-duplicates are in different "
            f"splits: {listed}. What the model learnt by heart of one counts as skill on the "
            "other.",
            "Remove them from one of the splits, or let the splits be drawn: "
            "ingest.columns.split: false.",
            {f"pairs_{splits}": count for splits, count in pairs.items()},
        )
    ]


def check_files(genres: Sequence[str], facts: FileFacts) -> list[Finding]:
    """Finds genres that can be told by format, size or folder, without a look at the picture.

    Each property is judged by trees that are asked about covers they were not fitted to.
    """
    told: dict[str, list[tuple[str, float]]] = {}
    for name, values in _properties(facts):
        areas = _areas(values, facts)
        for place, genre in enumerate(genres):
            if _is_told(float(areas[place]), facts.labels[:, place]):
                told.setdefault(genre, []).append((name, float(areas[place])))
    if not told:
        return []
    sentences = [
        f"{genre} by {listing([f'{name} ({area:.2f})' for name, area in known])}"
        for genre, known in told.items()
    ]
    return [
        Finding(
            "told_by_files",
            "warning",
            "Genres can be told by their files, without a look at the pictures (ROC AUC): "
            f"{'; '.join(sentences)}. Their covers come from other sources than the rest, and a "
            "network may have learnt the source, by its scale or its compression.",
            "Take the covers of all genres from the same sources, in the same sizes and formats, "
            "and judge the model on covers of one source: ingest.slices takes a column that "
            "names it.",
            {f"{name}: {genre}": area for genre, known in told.items() for name, area in known},
        )
    ]


def read_file_facts(genres: Sequence[str], examples: Path) -> FileFacts:
    """Reads the first covers of each split.

    Args:
        genres: in the order of the labels.
        examples: folder of the splits.
    """
    import tensorflow as tf

    text = tf.io.FixedLenFeature((), tf.string, "")
    number = tf.io.FixedLenFeature((), tf.int64, 0)
    spec = {
        IMAGE_FORMAT: text,
        IMAGE_GROUP: text,
        IMAGE_WIDTH: number,
        IMAGE_HEIGHT: number,
        IMAGE_SIZE: number,
        IMAGE_PATH: tf.io.RaggedFeature(tf.string),
        LABEL: tf.io.FixedLenFeature((len(genres),), tf.float32),
    }
    named = {spelling(genre) for genre in genres}
    formats: list[str] = []
    groups: list[str] = []
    folders: list[str] = []
    numbers: list[np.ndarray] = [np.zeros((0, 3), np.int64)]
    labels: list[np.ndarray] = [np.zeros((0, len(genres)), bool)]
    for split in SPLITS:
        left = _MOST_OF_A_SPLIT
        for file in sorted(split_folder(examples, split).glob("*")):
            zipped = "GZIP" if file.name.endswith(COMPRESSED_SUFFIX) else ""
            records = tf.data.TFRecordDataset(str(file), zipped).take(left)
            for serialized in records.with_options(input_options()).batch(_AT_ONCE):
                parsed = tf.io.parse_example(serialized, spec)
                formats += [_text(each) for each in parsed[IMAGE_FORMAT].numpy()]
                groups += [_text(each) for each in parsed[IMAGE_GROUP].numpy()]
                paths = parsed[IMAGE_PATH].to_list()
                folders += [_folder(_text(each[0]), named) if each else "" for each in paths]
                keys = (IMAGE_WIDTH, IMAGE_HEIGHT, IMAGE_SIZE)
                numbers.append(np.stack([parsed[key].numpy() for key in keys], axis=1))
                labels.append(parsed[LABEL].numpy() > 0)
                left -= len(paths)
    facts = np.concatenate(numbers)
    return FileFacts(formats, facts[:, :2], facts[:, 2], folders, groups, np.concatenate(labels))


def _properties(facts: FileFacts) -> Iterator[tuple[str, np.ndarray]]:
    """Yields what differs between files: its name, and float values of shape (covers, n)."""
    if len(set(facts.formats)) > 1:
        yield "their format", _one_hot(facts.formats)
    if len(np.unique(facts.sides, axis=0)) > 1:
        width, height = facts.sides.T.astype(float)
        yield "width and height", np.stack([width, height, width / np.maximum(height, 1)], axis=1)
    if len(np.unique(facts.sizes)) > 1:
        pixels = np.maximum(facts.sides.prod(axis=1), 1)
        yield "their bytes", np.stack([facts.sizes, facts.sizes / pixels], axis=1)
    if len(set(facts.folders)) > 1:
        yield "their folder", _one_hot(facts.folders)


def _areas(values: np.ndarray, facts: FileFacts) -> np.ndarray:
    """Returns the ROC AUC of each genre by one property; NaN where there are too few covers."""
    count, genre_count = facts.labels.shape
    names, group = np.unique(
        [own or str(row) for row, own in enumerate(facts.groups)], return_inverse=True
    )
    fold = np.random.default_rng(_SEED).permutation(len(names))[group] % _FOLDS
    scores = np.zeros((count, genre_count))
    for number in range(_FOLDS):
        asked = fold == number
        if asked.all() or not asked.any():
            continue
        trees = ExtraTreesClassifier(
            _TREES, min_samples_leaf=_LEAST_IN_A_LEAF, random_state=_SEED
        ).fit(values[~asked], facts.labels[~asked].astype(int).reshape(-1, genre_count))
        found = trees.predict_proba(values[asked])
        each_genre = found if genre_count > 1 else [found]
        for place, chances in enumerate(each_genre):
            if chances.shape[1] == 2:  # else all covers of the other folds agree
                scores[asked, place] = chances[:, 1]
    return np.array(
        [
            roc_auc_score(label, score) if _is_judged(label) else np.nan
            for label, score in zip(facts.labels.T, scores.T, strict=True)
        ]
    )


def _is_judged(label: np.ndarray) -> bool:
    return bool(min(label.sum(), (~label).sum()) >= _FEWEST_COVERS)


def _is_told(area: float, label: np.ndarray) -> bool:
    if not area >= _LEAST_AREA:
        return False
    return area - _STANDARD_ERRORS * _standard_error(area, label) >= _LEAST_SURE_AREA


def _standard_error(area: float, label: np.ndarray) -> float:
    """Returns that of a ROC AUC: Hanley and McNeil, Radiology 143 (1982)."""
    with_genre, without = int(label.sum()), int((~label).sum())
    first, second = area / (2 - area), 2 * area**2 / (1 + area)
    spread = area * (1 - area)
    spread += (with_genre - 1) * (first - area**2) + (without - 1) * (second - area**2)
    return math.sqrt(max(spread, 0.0) / (with_genre * without))


def _one_hot(names: Sequence[str]) -> np.ndarray:
    known, place = np.unique(names, return_inverse=True)
    return np.eye(len(known))[place] if len(known) <= _MOST_VALUES else place[:, None].astype(float)


def _folder(path: str, genres: set[str]) -> str:
    """Returns the folder, without the parts that name a genre, as they may have given it."""
    parts = PurePosixPath(path).parent.parts
    return "/".join(part for part in parts if spelling(part) not in genres)


def _text(value: bytes) -> str:
    return value.decode("utf-8", errors="backslashreplace")
