"""The page of a check for drift: one offline file, in the look of a run's report."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
from markupsafe import Markup

from components.report_gen import histograms
from components.report_gen.charts import Chart
from components.report_gen.page import page_environment, page_style, policy
from pipeline.commands.drift.comparison import Compared
from pipeline.commands.drift.result import DriftResult, title, value_text

_TEMPLATE = "drift.html"
_BINS = 24
_MOST_CHARTS = 24
_COLOURS = """
.key.before::before { background: var(--accent); }
.key.now::before { background: var(--second); }
.too_few_covers h1::before { background: var(--warn); }
.no_drift h1::before { background: var(--good); }
"""


def render_page(result: DriftResult, features: Mapping[str, Compared]) -> str:
    """Returns the page.

    Args:
        result: what was found.
        features: name -> the values that were compared.
    """
    environment = page_environment(Path(__file__).parent)
    environment.filters |= {"title_of": title, "value_of": value_text}
    style = page_style() + _COLOURS
    drawn = result.drifted[:_MOST_CHARTS]
    return environment.get_template(_TEMPLATE).render(
        result=result,
        charts={shift.name: _chart(features[shift.name]) for shift in drawn},
        style=Markup(style),
        policy=policy(style),
    )


def _chart(feature: Compared) -> Chart:
    label = f"Distribution of {title(feature.name)}, before and now"
    before, now = feature.before, feature.now
    if feature.is_categorical:
        names = [str(name) for name in np.unique(np.concatenate([before, now]))]
        had, has = ([float((side == name).mean()) for name in names] for side in (before, now))
        return histograms.categories(names, had, has, label)
    low, high = np.quantile(np.concatenate([before, now]), (0.005, 0.995))
    if low == high:
        low, high = low - 0.5, high + 0.5
    edges = np.linspace(low, high, _BINS + 1)
    had, has = (
        (np.histogram(np.clip(side, low, high), edges)[0] / len(side)).tolist()
        for side in (before, now)
    )
    return histograms.numbers(edges.tolist(), had, has, label)
