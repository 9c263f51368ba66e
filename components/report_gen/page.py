"""The HTML page: one self-contained file that loads nothing and runs only its own script."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from components.contracts.genre_names import listing
from components.contracts.metrics import METRICS, is_worse
from components.report_gen import views
from components.report_gen.palette import palette_style

_UNDEFINED = "\N{EN DASH}"
_TEMPLATES = Path(__file__).parent / "templates"


def render_page(report: Mapping[str, Any], pictures: Mapping[str, str]) -> str:
    """Returns the page.

    All input goes through the template's auto-escaping. A content security policy
    forbids all loading and any script or style but the page's own, by their hashes, so that even
    a name that slipped through would stay text.

    Args:
        report: the content of `report.json`.
        pictures: `data:` URIs by the cover's identity.
    """
    environment = page_environment(_TEMPLATES)
    environment.tests["worse"] = lambda change, metric: is_worse(metric, change)
    environment.tests["lower_is_better"] = lambda metric: METRICS[metric].better == "lower"
    style, script = page_style() + palette_style("genre"), _read("report.js")
    return environment.get_template("report.html").render(
        report=report,
        pictures=pictures,
        view=views.make_views(report),
        style=Markup(style),
        script=Markup(script),
        policy=policy(style, script),
    )


def page_environment(templates: Path) -> Environment:
    """Returns what renders the templates of a folder, all input escaped, with the report's filters.

    Args:
        templates: the folder; those of the report, such as `head.html`, are found as well.
    """
    environment = Environment(
        loader=FileSystemLoader([templates, _TEMPLATES]),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {
        "number": _number,
        "signed": _signed,
        "percent": _percent,
        "option": _option,
        "count": lambda value: f"{value:,}",
        "listing": listing,
        "words": lambda name: name.replace("_", " "),
        "metric": lambda name: METRICS[name].title,
    }
    return environment


def page_style() -> str:
    """Returns the style sheet of the report."""
    return _read("report.css")


def policy(style: str, script: str = "") -> str:
    """Returns the content security policy of a page that loads nothing.

    Args:
        style: the only style sheet that it may have.
        script: the only script; empty if it has none.
    """
    return (
        "default-src 'none'; img-src data:; base-uri 'none'; form-action 'none'; "
        f"style-src {_hash(style)}" + (f"; script-src {_hash(script)}" if script else "")
    )


def _read(name: str) -> str:
    return (_TEMPLATES / name).read_text(encoding="utf-8")


def _hash(text: str) -> str:
    digest = base64.b64encode(hashlib.sha256(text.encode("utf-8")).digest()).decode("ascii")
    return f"'sha256-{digest}'"


def _number(value: float | None, digits: int = 3) -> str:
    return _UNDEFINED if value is None else f"{value:.{digits}f}"


def _signed(value: float | None) -> str:
    if value is None:
        return _UNDEFINED
    # A minus sign is as wide as a plus sign; a hyphen is not.
    return f"{value:+.3f}".replace("-", "\N{MINUS SIGN}")


def _option(value: object) -> str:
    if value is None:
        return _UNDEFINED
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def _percent(value: float | None) -> str:
    return _UNDEFINED if value is None else f"{value:.0%}"
