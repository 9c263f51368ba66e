"""Which pushed version a candidate is compared with."""

from __future__ import annotations

from components.contracts.files import serving_model
from components.contracts.pushed_models import PushedVersion, all_versions, find_baseline
from components.contracts.rollbacks import rollbacks_at, withdrawn_recipes
from components.contracts.signatures import read_model_description
from components.support.errors import DeploymentError


def baseline_of(candidate_uri: str, push_destination: str) -> PushedVersion | None:
    """Returns the baseline of the candidate in a Model artifact, or None.

    Args:
        candidate_uri: the artifact's folder.
        push_destination: a folder or URL of pushed versions.
    """
    candidate = read_model_description(serving_model(candidate_uri))
    return find_baseline(
        push_destination,
        recipe=candidate.recipe,
        genres=candidate.genres,
        withdrawn=withdrawn_recipes(rollbacks_at(push_destination)),
    )


def expected_baseline(location: str, push_destination: str) -> PushedVersion | None:
    """Returns the version that `baseline_of` found a moment ago, or None if it found none.

    Args:
        location: of that version, or an empty text.
        push_destination: a folder or URL of pushed versions.

    Raises:
        DeploymentError: it is gone, or damaged.
    """
    if not location:
        return None
    for version in all_versions(push_destination):
        if version.location == location:
            if isinstance(version, PushedVersion):
                return version
            raise version.error()
    raise DeploymentError(
        f"Expected the baseline at {location}. Received: nothing there; it was deleted during the "
        "run. Run again."
    )
