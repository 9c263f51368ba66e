"""Prints what `covers drift` finds of covers that a model has not seen, unshifted and shifted.

    python benchmarks/drift.py DATA [--pipeline-root ROOT]

DATA are covers beside those of the latest pushed model, as a CSV or one folder per genre.
"""

from __future__ import annotations

import argparse
import dataclasses
import io
import tempfile
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageOps

from components.contracts.signatures import read_model_description
from components.support.home import ensure_home
from components.support.quiet import third_parties_quiet
from pipeline.commands.drift.command import compared_features
from pipeline.commands.drift.comparison import Shift, compare
from pipeline.commands.drift.covers import Covers, read_covers
from pipeline.commands.drift.reference import Reference, read_reference
from pipeline.commands.drift.result import title
from pipeline.commands.labelled_covers import LabelledCovers, read_labelled_covers
from pipeline.commands.models.places import Where

HALVES = 20
SIZES = (50, 100, 200)
MOSTLY = 0.8

Change = Callable[[Image.Image], Image.Image]

CHANGES: dict[str, Change] = {
    "greyscale": ImageOps.grayscale,
    "half in greyscale": ImageOps.grayscale,
    "sides of 150 to 250 pixels": lambda image: image.resize((150 + image.width % 7 * 16,) * 2),
    "sides of 600 pixels": lambda image: image.resize((600, 600)),
    "brighter by half": lambda image: image.point(lambda level: min(255, round(level * 1.5))),
}


def main() -> None:
    """Prints the tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data", type=Path)
    parser.add_argument("--pipeline-root", type=Path, default=Path("pipeline_root"))
    arguments = parser.parse_args()
    ensure_home()
    with third_parties_quiet():
        model = Path(Where(None, arguments.pipeline_root, None).model(None))
        reference = read_reference(arguments.pipeline_root, model.resolve(), None)
        genres = read_model_description(model).genres
        labelled = read_labelled_covers(arguments.data, genres)
        covers = _answered(labelled.encoded, model)
        print(
            f"{len(covers):,} covers that the model has not seen; trained on "
            f"{reference.trained_on:,}, tested on {len(reference.predictions):,}\n"
        )
        _print_unshifted(reference, covers)
        _print_shifted(reference, model, labelled, genres)


def _print_unshifted(reference: Reference, covers: Covers) -> None:
    print("| covers drawn at random | draws | alarms | furthest distance / threshold |")
    print("|---|---|---|---|")
    for size in (len(covers) // 2, *SIZES):
        found = [_checked(reference, _part(covers, _draw(covers, size, s))) for s in range(HALVES)]
        alarms = sum(any(shift.is_drift for shift in shifts) for shifts in found)
        furthest = max(each.distance / each.threshold for shifts in found for each in shifts)
        print(f"| {size:,} | {HALVES} | {alarms} | {furthest:.2f} |")


def _print_shifted(
    reference: Reference, model: Path, labelled: LabelledCovers, genres: tuple[str, ...]
) -> None:
    print("\n| covers | found | what shifted the most: training, now, distance |")
    print("|---|---|---|")
    half = sorted(np.random.default_rng(0).permutation(len(labelled.encoded))[::2].tolist())
    for name, change in CHANGES.items():
        encoded = [
            _changed(labelled.encoded[place], change)
            if number % 2 or not name.startswith("half")
            else labelled.encoded[place]
            for number, place in enumerate(half)
        ]
        _print_row(name, _checked(reference, _answered(encoded, model)))
    covers = _answered(labelled.encoded, model)
    for place, genre in enumerate(genres):
        chosen = _mostly(labelled.labels[:, place] > 0.5)
        _print_row(f"{MOSTLY:.0%} {genre}", _checked(reference, _part(covers, chosen)))


def _print_row(name: str, shifts: list[Shift]) -> None:
    found = sorted(
        (shift for shift in shifts if shift.is_drift),
        key=lambda shift: -shift.distance / shift.threshold,
    )
    named = "; ".join(
        f"{title(shift.name)}: {shift.before:.3g}, {shift.now:.3g}, {shift.distance:.2f}"
        for shift in found[:3]
    )
    print(f"| {name} | {len(found)} of {len(shifts)} | {named} |")


def _checked(reference: Reference, covers: Covers) -> list[Shift]:
    return compare(compared_features(reference, covers), reference.thresholds)


def _answered(encoded: list[bytes], model: Path) -> Covers:
    with tempfile.TemporaryDirectory() as scratch:
        for number, each in enumerate(encoded):
            Path(scratch, f"{number:06d}.jpg").write_bytes(each)
        return read_covers(Path(scratch), model)


def _draw(covers: Covers, size: int, seed: int) -> npt.NDArray[np.int64]:
    return np.random.default_rng(seed).permutation(len(covers))[:size]


def _mostly(has_genre: npt.NDArray[np.bool_]) -> npt.NDArray[np.int64]:
    """Returns all covers of a genre, and as many others as leave it the share wanted."""
    random = np.random.default_rng(0)
    of_genre, others = np.flatnonzero(has_genre), np.flatnonzero(~has_genre)
    few = round(len(of_genre) * (1 - MOSTLY) / MOSTLY)
    return np.concatenate([of_genre, random.permutation(others)[:few]])


def _part(covers: Covers, places: npt.NDArray[np.int64]) -> Covers:
    facts = {name: values[places] for name, values in covers.facts.items()}
    return dataclasses.replace(
        covers,
        facts=facts,
        probabilities=covers.probabilities[places],
        decisions=covers.decisions[places],
        left_out=Counter(),
    )


def _changed(encoded: bytes, change: Change) -> bytes:
    out = io.BytesIO()
    with Image.open(io.BytesIO(encoded)) as image:
        change(image.convert("RGB")).save(out, "JPEG", quality=90)
    return out.getvalue()


if __name__ == "__main__":
    main()
