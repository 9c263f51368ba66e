from __future__ import annotations

import dataclasses
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from selenium import webdriver

from pipeline.commands.drift.comparison import Compared, compare
from pipeline.commands.drift.page import render_page
from pipeline.commands.drift.result import DriftResult, describe

HOSTILE = "<img src=x onerror=window.harmed=1>"


@pytest.fixture(scope="module")
def features() -> list[Compared]:
    random = np.random.default_rng(0)
    return [
        Compared("image/width", np.full(400, 300), np.full(100, 600)),
        Compared("image/brightness", random.random(400), random.random(100)),
        Compared(f"decided/{HOSTILE}", np.array(["no"] * 400), np.array(["yes", "no"] * 50)),
        Compared("confidence", random.beta(5, 2, 400), random.beta(2, 5, 100)),
    ]


@pytest.fixture(scope="module")
def drifted(features: list[Compared]) -> DriftResult:
    return DriftResult(
        model="/models/serving/7",
        version="7",
        run_id="20260101-000000-000000",
        pipeline="tiny",
        source="requests",
        created="2026-01-01T00:00:00+00:00",
        covers=100,
        least_covers=50,
        trained_on=400,
        tested_on=400,
        left_out={"damaged records": 2},
        shifts=tuple(sorted(compare(features, {}), key=lambda shift: not shift.is_drift)),
    )


def _unshifted(result: DriftResult) -> DriftResult:
    shifts = [shift for shift in result.shifts if not shift.is_drift]
    return dataclasses.replace(result, shifts=tuple(shifts))


def _too_few(result: DriftResult) -> DriftResult:
    return dataclasses.replace(result, covers=49, shifts=())


def test_drift_is_exit_code_3_and_a_table(drifted: DriftResult) -> None:
    assert (drifted.verdict, drifted.exit_code) == ("drift", 3)
    headline, _, header, *rows, left_out, page = describe(drifted, Path("drift.html"))
    assert headline == "Drift: 3 of 4 comparisons of 100 covers"
    assert header.split() == ["shifted", "training", "now", "distance", "threshold"]
    assert rows[0].split() == ["image/width", "300", "600", "1.000", "0.10"]
    assert any(re.search(r"decided as .* 0\.0% +50\.0% +0\.500 +0\.10$", row) for row in rows)
    assert (left_out, page) == ("  left out: damaged records 2", "  report: drift.html")


def test_no_drift_is_exit_code_0(drifted: DriftResult) -> None:
    result = _unshifted(drifted)
    assert (result.verdict, result.exit_code) == ("no_drift", 0)
    headline, _, furthest, *_ = describe(result, Path("drift.html"))
    assert headline == "No drift: none of 1 comparisons of 100 covers"
    assert furthest.startswith("  the furthest: image/brightness, distance 0.0")


def test_too_few_covers_are_no_alarm(drifted: DriftResult) -> None:
    result = _too_few(drifted)
    assert (result.verdict, result.exit_code) == ("too_few_covers", 0)
    assert next(describe(result, Path())).startswith("Too few covers to tell: 49, of at least 50")
    assert result.to_dict()["shifts"] == ()


@pytest.fixture
def open_page(browser: webdriver.Chrome, tmp_path: Path) -> Iterator[Any]:
    def open_page(html: str, size: tuple[int, int]) -> webdriver.Chrome:
        (tmp_path / "drift.html").write_text(html, encoding="utf-8")
        metrics = {"width": size[0], "height": size[1], "deviceScaleFactor": 1}
        browser.execute_cdp_cmd(
            "Emulation.setDeviceMetricsOverride", {**metrics, "mobile": size[0] < 500}
        )
        browser.get_log("browser")
        browser.get((tmp_path / "drift.html").as_uri())
        return browser

    return open_page


@pytest.mark.parametrize("size", [(1280, 900), (390, 844)])
@pytest.mark.parametrize("change", [lambda result: result, _unshifted, _too_few])
def test_the_page_loads_nothing_fits_and_obeys_no_name(
    open_page: Any,
    drifted: DriftResult,
    features: list[Compared],
    size: tuple[int, int],
    change: Any,
) -> None:
    result = change(dataclasses.replace(drifted, source=f"requests {HOSTILE}"))
    page = open_page(render_page(result, {each.name: each for each in features}), size)
    assert page.execute_script("return performance.getEntriesByType('resource').length") == 0
    assert page.get_log("browser") == []
    assert page.execute_script("return window.harmed") is None
    assert HOSTILE in page.execute_script("return document.body.textContent")
    width = page.execute_script("return document.documentElement.scrollWidth")
    assert width <= size[0]
    drawn = page.execute_script("return document.querySelectorAll('figure svg').length")
    assert drawn == len(result.drifted)
