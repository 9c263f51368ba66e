"""The page of explanations: one offline file, in the look of a run's report."""

from __future__ import annotations

import datetime
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from markupsafe import Markup

from components.report_gen.page import page_environment, page_style, policy
from components.report_gen.pictures import data_uri
from pipeline.commands.why.explanation import Explanation, genre_counts
from pipeline.commands.why.pictures import SIDE, heat_picture

_TEMPLATE = "why.html"
_STYLE = """
.why {
  display: grid; grid-template-columns: repeat(auto-fill, minmax(min(100%, 264px), 1fr));
  gap: 20px 28px; align-items: start;
}
.why > * { min-width: 0; overflow-wrap: anywhere; }
.why table { overflow-wrap: normal; }
.why img { display: block; width: 100%; max-width: 264px; height: auto; border-radius: 4px; }
.why > figure figcaption { font-size: 14px; margin-top: 6px; max-width: 264px; }
.key.for::before { background: #eb5e00; }
.key.against::before { background: #1e6eeb; }
.near { display: grid; grid-template-columns: repeat(auto-fill, minmax(132px, 1fr)); gap: 12px; }
.near .cover { max-width: 160px; min-width: 0; }
.no { color: var(--muted); }
section > h2 { overflow-wrap: anywhere; }
"""


def render_page(
    location: str, explained: Sequence[Explanation], pictures: Mapping[str, str]
) -> str:
    """Returns the page.

    Args:
        location: path or URL of the model.
        explained: one explanation for each cover.
        pictures: `data:` URIs of training covers by their identity.
    """
    style = page_style() + _STYLE
    environment = page_environment(Path(__file__).parent)
    environment.filters["genre_counts"] = genre_counts
    return environment.get_template(_TEMPLATE).render(
        location=location,
        created=datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds"),
        covers=[_shown(each) for each in explained],
        pictures=pictures,
        side=SIDE,
        style=Markup(style),
        policy=policy(style),
    )


def _shown(explanation: Explanation) -> Mapping[str, Any]:
    strongest = float(np.abs(explanation.maps.cells[list(explanation.mapped)]).max())
    return {
        "explanation": explanation,
        "picture": data_uri(explanation.encoded, SIDE),
        "maps": [
            {
                "genre": explanation.judged[place].genre,
                "picture": heat_picture(
                    explanation.encoded, explanation.maps.cells[place], strongest
                ),
                "words": explanation.rests_on(place),
            }
            for place in explanation.mapped
        ],
    }
