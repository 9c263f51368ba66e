"""The report as people meet it: in Chromium, with the network off."""

from __future__ import annotations

import base64
import io
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
from PIL import Image
from selenium import webdriver
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.support.ui import Select
from sklearn import metrics as sk

DESKTOP, PHONE = (1280, 900), (390, 844)

Open = Callable[..., webdriver.Chrome]


@pytest.fixture
def open_report(browser: webdriver.Chrome) -> Iterator[Open]:
    """Returns a function that opens a report in a window of a size, in a colour scheme."""

    def open_page(
        report: Any, size: tuple[int, int] = DESKTOP, scheme: str = "light", media: str = ""
    ) -> webdriver.Chrome:
        width, height = size
        metrics = {"width": width, "height": height, "deviceScaleFactor": 1}
        emulate = "Emulation.setDeviceMetricsOverride"
        browser.execute_cdp_cmd(emulate, {**metrics, "mobile": size == PHONE})
        features = [
            {"name": "prefers-color-scheme", "value": scheme},
            {"name": "prefers-reduced-motion", "value": "reduce"},
        ]
        emulated = {"media": media, "features": features}
        browser.execute_cdp_cmd("Emulation.setEmulatedMedia", emulated)
        browser.get_log("browser")  # forget what other pages said
        browser.get(report.page.as_uri())
        return browser

    return open_page


def text_of(element: Any) -> str:
    return str(element.get_attribute("textContent")).strip()


def test_it_loads_nothing_and_says_nothing_wrong(
    open_report: Open, refused: Any, stopped: Any
) -> None:
    for report in (refused, stopped):
        page = open_report(report)
        assert page.execute_script("return performance.getEntriesByType('resource').length") == 0
        assert page.get_log("browser") == []


def test_hostile_names_stay_text(open_report: Open, refused: Any, stopped: Any) -> None:
    for report in (refused, stopped):
        page = open_report(report)
        assert page.execute_script("return window.harmed") is None
        body = page.execute_script("return document.body.textContent")
        assert "<img src=x onerror=window.harmed=1>" in body
        sources = page.execute_script("return [...document.images].map((image) => image.src)")
        assert all(source.startswith("data:image/jpeg;base64,") for source in sources)
        assert page.execute_script("return document.querySelectorAll('[onerror]').length") == 0
    captions = open_report(refused).find_elements(By.CSS_SELECTOR, ".cover .path")
    assert "</script><script>window.harmed=1</script>.jpg" in {text_of(each) for each in captions}


def test_the_policy_blocks_a_script_that_slipped_in(open_report: Open, refused: Any) -> None:
    page = open_report(refused)
    page.execute_script(
        "const s = document.createElement('script'); s.textContent = 'window.harmed = 1';"
        "document.body.append(s);"
        "document.body.insertAdjacentHTML('beforeend', '<i onclick=\"window.harmed=1\">x</i>');"
        "document.body.lastChild.click();"
    )
    assert page.execute_script("return window.harmed") is None


def test_the_table_has_the_numbers_of_scikit_learn(open_report: Open, refused: Any) -> None:
    y, p, d = refused.outputs.labels, refused.outputs.probabilities, refused.outputs.decisions
    rows = open_report(refused).find_elements(By.CSS_SELECTOR, "table.metrics tbody tr")
    assert len(rows) == y.shape[1]
    for i, row in enumerate(rows):
        shown = [text_of(cell) for cell in row.find_elements(By.CSS_SELECTOR, "td b")]
        y_i, p_i, d_i = y[:, i], p[:, i], d[:, i]
        expected = (
            sk.roc_auc_score(y_i, p_i),
            sk.average_precision_score(y_i, p_i),
            sk.precision_score(y_i, d_i),
            sk.recall_score(y_i, d_i),
            sk.f1_score(y_i, d_i),
            sk.brier_score_loss(y_i, p_i),
        )
        assert [float(value) for value in shown] == pytest.approx(expected, abs=5.1e-4)


def test_the_explorer_has_the_numbers_of_scikit_learn(open_report: Open, refused: Any) -> None:
    page, outputs = open_report(refused), refused.outputs
    genres = list(refused.content["genres"].values())
    for number in (0, 2):
        page.find_element(By.ID, f"tab-{number}").click()
        panel = page.find_element(By.ID, f"panel-{number}")
        assert panel.is_displayed()
        for place in (0, 17, 50, 93):
            page.execute_script(
                "const s = document.getElementById(arguments[0]); s.value = arguments[1];"
                "s.dispatchEvent(new Event('input'));",
                f"threshold-{number}",
                str(place),
            )
            threshold = genres[number]["thresholds"][place]["threshold"]
            decided = outputs.probabilities[:, number].astype(np.float64) >= threshold
            y = outputs.labels[:, number]
            expected = {
                "precision": sk.precision_score(y, decided, zero_division=0),
                "recall": sk.recall_score(y, decided),
                "f1": sk.f1_score(y, decided),
                "false_positives": int(np.sum(decided & (y < 0.5))),
            }
            for name, value in expected.items():
                shown = panel.find_element(By.CSS_SELECTOR, f'[data-value="{name}"]').text
                assert float(shown) == pytest.approx(value, abs=5.1e-4)
        panel.find_element(By.CSS_SELECTOR, ".reset").click()
        assert panel.find_element(By.CSS_SELECTOR, "output").text == "0.50"
        recall = sk.recall_score(outputs.labels[:, number], outputs.decisions[:, number])
        shown = panel.find_element(By.CSS_SELECTOR, '[data-value="recall"]').text
        assert float(shown) == pytest.approx(recall, abs=5.1e-4)


def test_tabs_and_slider_obey_the_keyboard(open_report: Open, refused: Any) -> None:
    page = open_report(refused)
    first = page.find_element(By.ID, "tab-0")
    first.click()
    first.send_keys(Keys.ARROW_RIGHT)
    assert page.switch_to.active_element.get_attribute("id") == "tab-1"
    assert page.find_element(By.ID, "panel-1").is_displayed()
    assert not page.find_element(By.ID, "panel-0").is_displayed()
    slider = page.find_element(By.ID, "threshold-1")
    before = slider.get_attribute("aria-valuetext")
    slider.send_keys(Keys.ARROW_RIGHT)
    assert slider.get_attribute("aria-valuetext") > before


def test_every_section_is_reached_by_its_link(open_report: Open, refused: Any) -> None:
    page = open_report(refused)
    links = page.find_elements(By.CSS_SELECTOR, "nav a")
    assert len(links) == 12
    for link in links:
        link.click()
        section = page.find_element(By.CSS_SELECTOR, link.get_attribute("hash"))
        assert section.is_displayed()


@pytest.mark.parametrize("size", [DESKTOP, PHONE])
def test_the_first_screen_says_what_happened_and_what_to_do(
    open_report: Open, refused: Any, stopped: Any, size: tuple[int, int]
) -> None:
    page = open_report(refused, size)
    assert page.find_element(By.TAG_NAME, "h1").text == "Not pushed"
    assert first_screen(page, "h1", ".lead", ".verdict tbody tr")
    failure = page.find_element(By.CSS_SELECTOR, ".verdict tbody tr").text
    value = sk.roc_auc_score(refused.outputs.labels, refused.outputs.probabilities)
    for expected in ("all genres", "Macro ROC AUC", f"{value:.3f}", "0.850"):
        assert expected in failure
    if size == DESKTOP:
        assert "1795500100" in page.find_element(By.CSS_SELECTOR, ".lead").text

    page = open_report(stopped, size)
    assert page.find_element(By.TAG_NAME, "h1").text == "Not trained: the data were stopped"
    assert first_screen(page, "h1", ".lead", ".problems li", ".problems .remedy")
    assert "10.0%" in page.find_element(By.CSS_SELECTOR, ".problems li").text
    assert "max_quarantined_share" in page.find_element(By.CSS_SELECTOR, ".remedy").text


def first_screen(page: webdriver.Chrome, *selectors: str) -> bool:
    return all(
        page.execute_script(
            "const r = document.querySelector(arguments[0]).getBoundingClientRect();"
            "return r.height > 0 && r.top >= 0 && r.top < innerHeight - 40;",
            selector,
        )
        for selector in selectors
    )


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("size", [DESKTOP, PHONE])
def test_a_screenshot_fits_its_window(
    open_report: Open, refused: Any, stopped: Any, size: tuple[int, int], scheme: str
) -> None:
    for report in (refused, stopped):
        page = open_report(report, size, scheme)
        assert page.execute_script("return document.documentElement.scrollWidth") == size[0]
        shot = page.execute_cdp_cmd("Page.captureScreenshot", {})["data"]
        with Image.open(io.BytesIO(base64.b64decode(shot))) as image:
            assert image.size == size
            corner = image.convert("L").getpixel((2, size[1] - 3))
            assert (corner > 200) if scheme == "light" else (corner < 60)
            assert len(image.convert("RGB").getcolors(1_000_000) or []) > 50


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_text_has_contrast(open_report: Open, refused: Any, stopped: Any, scheme: str) -> None:
    for report in (refused, stopped):
        faint = open_report(report, DESKTOP, scheme).execute_script(CONTRAST)
        assert faint == []


CONTRAST = """
const channel = (c) => (c /= 255, c <= 0.03928 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4);
const luminance = ([r, g, b]) => 0.2126 * channel(r) + 0.7152 * channel(g) + 0.0722 * channel(b);
const parse = (text) => text.match(/[\\d.]+/g).map(Number);
function behind(element) {
  const layers = [];
  for (let e = element; e; e = e.parentElement)
    layers.push(parse(getComputedStyle(e).backgroundColor));
  return layers.reverse().reduce((under, [r, g, b, a = 1]) =>
    [r, g, b].map((c, i) => a * c + (1 - a) * under[i]), [255, 255, 255]);
}
const faint = [];
for (const element of document.querySelectorAll("body *")) {
  const own = [...element.childNodes].some((n) => n.nodeType === 3 && n.textContent.trim());
  if (!own || !element.getClientRects().length || element.closest("svg, script, style")) continue;
  const [light, dark] = [parse(getComputedStyle(element).color), behind(element)]
    .map(luminance).sort((a, b) => b - a);
  const contrast = (light + 0.05) / (dark + 0.05);
  if (contrast < 4.5) faint.push(`${element.tagName} ${element.className}: ${contrast.toFixed(2)}`);
}
for (const text of document.querySelectorAll("svg text")) {
  const [light, dark] = [parse(getComputedStyle(text).fill), behind(text.closest("figure"))]
    .map(luminance).sort((a, b) => b - a);
  if ((light + 0.05) / (dark + 0.05) < 4.5) faint.push(`svg text ${text.textContent}`);
}
return [...new Set(faint)];
"""


def test_everything_has_a_name(open_report: Open, refused: Any) -> None:
    nameless = open_report(refused).execute_script(
        """
        const missing = [];
        for (const input of document.querySelectorAll("input"))
          if (!input.labels.length) missing.push(input.id);
        for (const image of document.images)
          if (!image.hasAttribute("alt")) missing.push("image");
        for (const drawing of document.querySelectorAll("svg"))
          if (!drawing.getAttribute("aria-label")) missing.push("svg");
        for (const cell of document.querySelectorAll("th"))
          if (!cell.scope) missing.push(cell.textContent);
        for (const box of document.querySelectorAll(".scroll"))
          if (!box.getAttribute("aria-label") || box.tabIndex !== 0) missing.push("scroll");
        if (!document.documentElement.lang) missing.push("lang");
        return missing;
        """
    )
    assert nameless == []


def test_the_table_of_a_column_has_its_slices(open_report: Open, refused: Any) -> None:
    page = open_report(refused)
    titles = [text_of(each) for each in page.find_elements(By.CSS_SELECTOR, "#slices h3")]
    assert titles == ["<img src=x onerror=window.harmed=1>", "rare", "year"]
    tables = page.find_elements(By.CSS_SELECTOR, "#slices table")
    slices = refused.content["evaluation"]["slices"]
    for title, table in zip(titles, tables, strict=True):
        expected = slices[f"slice/{title}"]
        for row, (value, metrics) in zip(
            table.find_elements(By.CSS_SELECTOR, "tbody tr"), expected.items(), strict=True
        ):
            assert text_of(row.find_element(By.TAG_NAME, "th")) == value
            covers, area = row.find_elements(By.TAG_NAME, "td")[:2]
            assert text_of(covers) == f"{metrics['example_count']:.0f}"
            known = metrics["macro_roc_auc"]
            assert text_of(area).startswith("\N{EN DASH}" if known is None else f"{known:.3f}")


@pytest.mark.parametrize("size", [DESKTOP, PHONE])
def test_a_hundred_genres_stay_readable(
    open_report: Open, hundred: Any, size: tuple[int, int]
) -> None:
    page = open_report(hundred, size)
    assert page.get_log("browser") == []
    assert page.execute_script("return document.documentElement.scrollWidth") == size[0]
    assert first_screen(page, "h1", ".lead", ".verdict tbody tr")
    assert len(page.find_elements(By.CSS_SELECTOR, ".verdict tbody tr")) == 10
    assert len(page.find_elements(By.CSS_SELECTOR, "table.metrics tbody tr")) == 100
    assert not page.find_elements(By.CSS_SELECTOR, ".heat, .tabs")
    pairs = page.find_elements(By.CSS_SELECTOR, ".pairs tbody tr")
    assert 0 < len(pairs) <= 80
    first = [text_of(cell) for cell in pairs[0].find_elements(By.CSS_SELECTOR, "th, td")]
    together, genres = hundred.content["co_occurrence"], hundred.content["evaluation"]["genres"]
    assert int(first[2]) == together[genres.index(first[0])][genres.index(first[1])]
    assert int(first[2]) == max(max(row[:i], default=0) for i, row in enumerate(together))
    for section, screens in (("slices", 6), ("thresholds", 3), ("confusions", 8), ("covers", 9)):
        height = page.execute_script(
            "return document.getElementById(arguments[0]).getBoundingClientRect().height", section
        )
        assert 0 < height < screens * size[1], section


def test_a_genre_is_chosen_from_a_list_of_a_hundred(open_report: Open, hundred: Any) -> None:
    page = open_report(hundred)
    panels = page.find_elements(By.CSS_SELECTOR, ".panel")
    assert [panel.is_displayed() for panel in panels].count(True) == 1
    choice = page.find_element(By.ID, "genre-choice")
    name = hundred.content["evaluation"]["genres"][57]
    Select(choice).select_by_visible_text(name)
    [shown] = [panel for panel in panels if panel.is_displayed()]
    assert shown.find_element(By.TAG_NAME, "h3").text == name
    recall = sk.recall_score(hundred.outputs.labels[:, 57], hundred.outputs.decisions[:, 57])
    said = shown.find_element(By.CSS_SELECTOR, '[data-value="recall"]').text
    assert float(said) == pytest.approx(recall, abs=5.1e-4)


@pytest.mark.parametrize("size", [DESKTOP, PHONE])
def test_no_text_of_a_chart_is_cut(
    open_report: Open, refused: Any, hundred: Any, size: tuple[int, int]
) -> None:
    for report in (refused, hundred):
        cut = open_report(report, size).execute_script(
            """
            const cut = [];
            for (const drawing of document.querySelectorAll("svg")) {
              const box = drawing.getBoundingClientRect();
              for (const text of drawing.querySelectorAll("text")) {
                const own = text.getBoundingClientRect();
                if (own.left < box.left || own.right > box.right) cut.push(text.textContent);
              }
            }
            return cut;
            """
        )
        assert cut == []


def test_print_shows_every_genre_on_white(open_report: Open, refused: Any) -> None:
    page = open_report(refused, DESKTOP, "dark", media="print")
    panels = page.find_elements(By.CSS_SELECTOR, ".panel")
    assert len(panels) == 5
    assert all(panel.is_displayed() for panel in panels)
    assert not page.find_element(By.CSS_SELECTOR, "header.top").is_displayed()
    background = page.execute_script("return getComputedStyle(document.body).backgroundColor")
    assert background == "rgb(255, 255, 255)"


@pytest.mark.parametrize("size", [DESKTOP, PHONE])
def test_the_map_names_each_cover(open_report: Open, refused: Any, size: tuple[int, int]) -> None:
    page = open_report(refused, size)
    covers = refused.content["map"]["covers"]
    points = page.find_elements(By.CSS_SELECTOR, ".map use")
    assert len(points) == len(covers) == len(refused.outputs.labels)
    titles = page.execute_script(
        "return [...document.querySelectorAll('.map use title')].map((each) => each.textContent)"
    )
    for cover, title in zip(covers, titles, strict=True):
        assert title.startswith(f"{cover['path']}: ")
        assert all(genre in title for genre in (*cover["genres"], *cover["decided"]))
    area = page.find_element(By.CSS_SELECTOR, ".map svg")
    area.send_keys(Keys.ARROW_RIGHT)
    said = page.find_element(By.ID, "map-cover")
    assert text_of(said) == titles[0].strip()
    seen = {titles[0]}
    for key in (Keys.ARROW_RIGHT, Keys.ARROW_LEFT, Keys.ARROW_UP, Keys.ARROW_DOWN) * 3:
        area.send_keys(key)
        seen.add(text_of(said))
    assert len(page.find_elements(By.CSS_SELECTOR, ".map .shown")) == 1
    places = page.execute_script(
        "return [...document.querySelectorAll('.map use')].map("
        "(each) => [Number(each.getAttribute('x')), Number(each.getAttribute('y'))])"
    )
    assert np.min(places) >= 0
    assert np.max(np.array(places) - [720, 480]) <= 0


def test_the_map_of_one_genre_marks_its_mistakes(open_report: Open, refused: Any) -> None:
    page, outputs = open_report(refused), refused.outputs
    choice = Select(page.find_element(By.ID, "map-genre"))
    genres = refused.content["evaluation"]["genres"]
    for number in (0, 3):
        choice.select_by_visible_text(genres[number])
        true, decided = outputs.labels[:, number] > 0, outputs.decisions[:, number] > 0
        counts = {
            name: len(page.find_elements(By.CSS_SELECTOR, f".map .one .{name}, .map .one.{name}"))
            for name in ("hit", "missed", "wrong")
        }
        expected = {
            "hit": np.sum(true & decided),
            "missed": np.sum(true & ~decided),
            "wrong": np.sum(~true & decided),
        }
        assert counts == expected
    before = page.execute_script("return document.querySelectorAll('.map .missed').length")
    assert before
    choice.select_by_visible_text("all")
    assert page.execute_script("return document.querySelectorAll('.map svg.one').length") == 0
    marks = page.execute_script(
        "return [...document.querySelectorAll('.map use')].map((each) => each.getAttribute('href'))"
    )
    assert marks == [f"#map-{cover['mark']}" for cover in refused.content["map"]["covers"]]


def test_the_map_needs_no_script(open_report: Open, refused: Any) -> None:
    page = open_report(refused)
    page.execute_cdp_cmd("Emulation.setScriptExecutionDisabled", {"value": True})
    try:
        page.get(refused.page.as_uri())
        assert len(page.find_elements(By.CSS_SELECTOR, ".map use title")) == 200
        assert not page.find_element(By.ID, "map-genre").is_displayed()
        assert page.find_element(By.CSS_SELECTOR, ".map-all").is_displayed()
        assert not page.find_element(By.CSS_SELECTOR, ".map-one").is_displayed()
    finally:
        page.execute_cdp_cmd("Emulation.setScriptExecutionDisabled", {"value": False})
