"""The search for options: its trials, the best first."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from components.contracts.files import TUNER_RESULTS_FILE
from components.contracts.records import reading

_ABOUT_THE_TRIAL = ("trial_id", "score")  # among the options in the rows that TFX writes


def describe_tuning(
    tuner_results: Path | None, configured: Mapping[str, Any] | None
) -> dict[str, Any] | None:
    """Returns the trials of a search, ready for JSON; None if there was no search.

    Args:
        tuner_results: folder of what TFX's Tuner noted.
        configured: the options of the search.

    Returns:
        `objective`, `algorithm` and `epochs` as configured, or None; `options`, the names of all
        that were searched; and `trials`, each with `rank` from 1, `objective` and `options`.

    Raises:
        DeploymentError: TFX's Tuner did not write the file.
    """
    if tuner_results is None:
        return None
    path = tuner_results / TUNER_RESULTS_FILE
    with reading(path, "the trials of a search for options"):
        trials: list[dict[str, Any]] = [
            {
                "rank": rank,
                "objective": float(row["score"]),
                "options": {
                    name: value for name, value in row.items() if name not in _ABOUT_THE_TRIAL
                },
            }
            for rank, row in enumerate(json.loads(path.read_text(encoding="utf-8")), start=1)
        ]
    known = configured or {}
    return {
        **{name: known.get(name) for name in ("objective", "algorithm", "epochs")},
        "options": list(dict.fromkeys(name for trial in trials for name in trial["options"])),
        "trials": trials,
    }
