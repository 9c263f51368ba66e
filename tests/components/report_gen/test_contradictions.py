"""The report of near-duplicates that name different genres, and of placeholders."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import tensorflow as tf
from PIL import Image
from selenium import webdriver
from selenium.webdriver.common.by import By

from components.contracts.quarantine import (
    Contradiction,
    IngestSummary,
    Placeholder,
    write_contradictions,
    write_quarantine,
    write_summary,
)
from components.report_gen.build import build_report, write_report
from components.report_gen.sources import RunFacts, Sources

HARM = "<img src=x onerror=window.harmed=1>"
FACTS = RunFacts(pipeline="covers", outcome="data_stopped", data="labels.csv")
PAIRS = 24


def _example(identity: str, image: Image.Image) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, "JPEG")
    example = tf.train.Example()
    example.features.feature["image/id"].bytes_list.value.append(identity.encode())
    example.features.feature["image/encoded"].bytes_list.value.append(buffer.getvalue())
    return example.SerializeToString()


@pytest.fixture
def sources(tmp_path: Path, draw_cover: Callable[..., Image.Image]) -> Sources:
    """What ingest left: covers in two splits, contradicting pairs of them, a placeholder."""
    for place, split in enumerate(("train", "eval", "test")):
        folder = tmp_path / "examples" / f"Split-{split}"
        folder.mkdir(parents=True)
        with tf.io.TFRecordWriter(str(folder / "covers.tfrecord")) as out:
            for n in range(place, 2 * PAIRS, 3):
                out.write(_example(f"cover{n}", draw_cover(n // 2)))
    pairs = [
        Contradiction(
            (f"cover{2 * n}", f"cover{2 * n + 1}"),
            (f"pop/{n}.jpg", f"rock/{n}{HARM}.jpg"),
            (("pop",), ("rock",) if n else ()),
            n,
            "merged" if n <= 12 else "kept",
        )
        for n in range(PAIRS)
    ]
    folder = tmp_path / "quarantine"
    folder.mkdir()
    write_contradictions(folder, pairs)
    write_quarantine(folder, [])
    found = Placeholder("f" * 64, f"none{HARM}.jpg", 30, 12, 0.25, 5, flat=True)
    counts = {"train": 16, "eval": 16, "test": 16}
    genres = {split: {"pop": 8, "rock": 8} for split in counts}
    summary = IngestSummary(
        "labels.csv", 78, 48, 30, {"placeholder": 30}, 48, counts, 24, 48, genres
    )
    summary.contradicting_pairs.update({"merged": 13, "kept": PAIRS - 13})
    write_summary(folder, _with(summary, placeholders=(found,)))
    return Sources(examples=tmp_path / "examples", quarantine=folder)


def _with(summary: IngestSummary, **fields: Any) -> IngestSummary:
    return IngestSummary(**{**summary.__dict__, **fields})


def test_the_nearest_pairs_are_listed_with_both_pictures(sources: Sources) -> None:
    report, pictures = build_report(sources, FACTS)
    listed = report["data"]["contradictions"]
    assert listed["pairs"] == PAIRS
    assert [pair["distance"] for pair in listed["first"]] == list(range(20))
    assert set(pictures) == {identity for pair in listed["first"] for identity in pair["ids"]}
    assert all(picture.startswith("data:image/jpeg;base64,") for picture in pictures.values())


@pytest.mark.parametrize("width", [390, 1280])
def test_they_can_be_seen(
    sources: Sources, browser: webdriver.Chrome, tmp_path: Path, width: int
) -> None:
    page = write_report(tmp_path / "report", sources, FACTS)
    browser.execute_cdp_cmd(
        "Emulation.setDeviceMetricsOverride",
        {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": width < 500},
    )
    browser.get_log("browser")
    browser.get(page.as_uri())
    shown = browser.find_elements(By.CSS_SELECTOR, ".pair")
    assert len(shown) == 20
    for pair in shown:
        images = pair.find_elements(By.TAG_NAME, "img")
        assert len(images) == 2
        assert all(image.size["width"] > 50 for image in images)
    body = browser.execute_script("return document.body.textContent")
    assert "24 pairs" in body
    assert "13 merged, 11 kept" in body
    assert "and 4 more" in body
    assert "no genre" in shown[0].text
    assert f"none{HARM}.jpg" in body
    assert "30 rows (25%)" in body
    assert browser.execute_script("return window.harmed") is None
    assert browser.get_log("browser") == []
    overflow = "return document.documentElement.scrollWidth - window.innerWidth"
    assert browser.execute_script(overflow) <= 0
