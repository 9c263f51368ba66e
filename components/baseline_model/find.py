"""Which pushed version a candidate is compared with."""

from __future__ import annotations

from tfx.utils import path_utils

from components.contracts.pushed_models import PushedVersion, find_baseline
from components.contracts.rollbacks import rollbacks_at, withdrawn_recipes
from components.contracts.signatures import read_model_description


def baseline_of(candidate_uri: str, push_destination: str) -> PushedVersion | None:
    """Returns the baseline of the candidate in a Model artifact, or None.

    Args:
        candidate_uri: the artifact's folder.
        push_destination: a folder or URL of pushed versions.
    """
    candidate = read_model_description(path_utils.serving_model_path(candidate_uri))
    return find_baseline(
        push_destination,
        recipe=candidate.recipe,
        genres=candidate.genres,
        withdrawn=withdrawn_recipes(rollbacks_at(push_destination)),
    )
