"""What a user can set about the data gate."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from components.support.options import Options


class DataGateConfig(Options):
    """Limits beyond which the data stop the run.

    Attributes:
        max_quarantined_share: largest share of the rows given that may be quarantined.
        min_examples_per_genre: least number of examples of each genre in each split; a genre with
            fewer than three groups of near-duplicates cannot be in all, which is only reported.
        straddling: whether near-duplicates across splits that the data give stop the run or are
            only reported.
        drift: whether drift of a new span beyond the schema's limits stops the run or is only
            reported.
        min_drift_examples: the number of covers that both spans need for drift to stop the run;
            distances between only a few covers are mostly chance.
    """

    SECTION = "data_gate"

    max_quarantined_share: float = Field(default=0.02, ge=0.0, le=1.0)
    min_examples_per_genre: int = Field(default=1, ge=0)
    straddling: Literal["stops", "reported"] = "reported"
    drift: Literal["stops", "reported"] = "stops"
    min_drift_examples: int = Field(default=200, ge=1)
