"""`covers compare`: selects runs, compares them, and writes the page."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from pipeline.commands.compare.comparison import Comparison, compare
from pipeline.commands.compare.selection import select_runs
from pipeline.commands.pages import write_page

PAGE = "comparison.html"


def compare_runs(
    given: Sequence[str], pipeline_root: Path, output: Path | None
) -> tuple[Comparison, Path]:
    """Compares runs, and returns the comparison and its page.

    Args:
        given: see `select_runs`.
        pipeline_root: where runs landed.
        output: the page to write; None writes it into the pipeline root.

    Raises:
        CoversError: see `select_runs`; or the page cannot be written.
    """
    from pipeline.commands.compare.page import render_page

    comparison = compare(select_runs(given, pipeline_root))
    page = output or pipeline_root / PAGE
    write_page(page, render_page(comparison))
    return comparison, page
