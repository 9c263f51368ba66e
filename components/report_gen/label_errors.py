"""Labels that are probably wrong, the most suspicious first, for a person to decide on.

Confident learning: Northcutt, Jiang and Chuang, "Confident Learning: Estimating Uncertainty in
Dataset Labels" (JAIR 2021), genre by genre against the rest. A label is suspected where a model
that did not see the cover is as sure of the opposite as it is, on average, for covers labelled so.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from components.contracts.out_of_fold import read_out_of_fold
from components.contracts.predictions import Predictions
from components.contracts.quarantine import Contradiction, read_contradictions
from components.report_gen.sources import Sources

LABEL_ERRORS_FILE = "label_errors.csv"
COLUMNS = ("cover", "genre", "given", "probability", "reason", "decision", "id")
"""Of the file; `decision` is left for a person: keep, add, remove or drop. See `ingest.relabel`."""

_MOST = 500

LabelError = dict[str, Any]


def suspected_labels(sources: Sources, predictions: Predictions) -> list[LabelError]:
    """Returns suspected labels of all splits, then contradictions of near-duplicates.

    Test covers are judged by the model, which did not see them; those of train and eval by the
    out-of-fold predictions of the training run, where it wrote any.

    Args:
        sources: the run's artifacts.
        predictions: the model's, of the test split.
    """
    genres = predictions.genres
    parts = [(predictions.ids, predictions.paths, predictions.labels, predictions.probabilities)]
    known = read_out_of_fold(sources.model_run) if sources.model_run else None
    if known is not None and known.labels.shape[1] == len(genres):
        parts.append((known.ids, known.paths, known.labels, known.probabilities))
    ranked = [each for part in parts for each in find_label_errors(genres, *part)]
    ranked.sort(key=lambda error: (error["likelihood"], error["cover"], error["genre"]))
    chances = {
        (identity, genre): round(float(row[place]), 4)
        for ids, _, _, probabilities in parts
        for identity, row in zip(ids, probabilities, strict=True)
        for place, genre in enumerate(genres)
        if np.isfinite(row[place])
    }
    pairs = read_contradictions(sources.quarantine) if sources.quarantine else []
    return ranked[:_MOST] + contradicting_labels(pairs, chances)


def find_label_errors(
    genres: Sequence[str],
    ids: Sequence[str],
    paths: Sequence[str],
    labels: np.ndarray,
    probabilities: np.ndarray,
) -> list[LabelError]:
    """Ranks labels that a model contradicts.

    Args:
        genres: in the order of the columns.
        ids: identity of each cover.
        paths: where each came from.
        labels: bool, shape (covers, genres).
        probabilities: of models that did not see the cover, same shape.

    Returns:
        `id`, `cover`, `genre`, `given` (yes or no), `probability`, `likelihood` and `reason`. The
        likelihood is that of the label as given, by that which is usual for labels of its kind;
        the least comes first.
    """
    found: list[LabelError] = []
    for place, genre in enumerate(genres):
        given, probability = labels[:, place].astype(bool), probabilities[:, place]
        if given.all() or not given.any() or not np.isfinite(probability).all():
            continue
        usual_with = float(probability[given].mean())
        usual_without = float((1 - probability[~given]).mean())
        missing = ~given & (probability >= usual_with)
        wrong = given & (1 - probability >= usual_without)
        for row in np.flatnonzero(missing | wrong).tolist():
            chance = float(probability[row])
            own, usual = (chance, usual_with) if given[row] else (1 - chance, usual_without)
            reason = (
                f"{chance:.0%} probable, where covers with the genre have "
                f"{usual_with:.0%} on average"
                if not given[row]
                else f"{chance:.0%} probable, where covers with the genre have {usual_with:.0%} "
                f"and the others {1 - usual_without:.0%} on average"
            )
            error = {
                "id": ids[row],
                "cover": paths[row],
                "genre": genre,
                "given": "yes" if given[row] else "no",
                "probability": round(chance, 4),
                # Where none of the kind has any likelihood, each has the usual one.
                "likelihood": round(own / usual, 6) if usual else 1.0,
                "reason": reason,
            }
            found.append(error)
    return sorted(found, key=lambda error: (error["likelihood"], error["cover"], error["genre"]))


def contradicting_labels(
    pairs: Sequence[Contradiction], probabilities: Mapping[tuple[str, str], float]
) -> list[LabelError]:
    """Lists the genres that one of two near-duplicates has and the other has not.

    Args:
        pairs: near-duplicates that name different genres.
        probabilities: (identity, genre) -> probability, where it is known.

    Returns:
        As `find_label_errors`; one error for each genre and the cover that was not given it.
    """
    found: list[LabelError] = []
    for pair in pairs:
        for side, other in ((0, 1), (1, 0)):
            for genre in sorted(set(pair.genres[other]) - set(pair.genres[side])):
                found.append(
                    {
                        "id": pair.ids[side],
                        "cover": pair.paths[side],
                        "genre": genre,
                        "given": "no",
                        "probability": probabilities.get((pair.ids[side], genre)),
                        "reason": f"near-duplicate {pair.paths[other]} has it "
                        f"({pair.distance} of 256 bits apart; {pair.outcome})",
                    }
                )
    return found


def to_csv(errors: Sequence[LabelError]) -> str:
    """Returns the file that a person fills in."""
    text = io.StringIO()
    writer = csv.DictWriter(text, COLUMNS, restval="", extrasaction="ignore", lineterminator="\n")
    writer.writeheader()
    writer.writerows(errors)
    return text.getvalue()
