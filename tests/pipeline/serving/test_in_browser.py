"""The page to try a cover on, as people meet it: in Chromium, with the network off."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import uvicorn
from selenium import webdriver
from selenium.webdriver.common.by import By
from selenium.webdriver.support.ui import WebDriverWait

from pipeline.serving.app import create_app
from pipeline.serving.model import ModelHolder, ServedModel
from pipeline.serving.settings import ServingSettings

DESKTOP, PHONE = (1280, 900), (390, 844)

Open = Callable[..., webdriver.Chrome]


@pytest.fixture(scope="module")
def address(served: ServedModel) -> Iterator[str]:
    """A server in a thread of this process."""
    listening = socket.create_server(("127.0.0.1", 0))
    app = create_app(ServingSettings(), ModelHolder(served))
    server = uvicorn.Server(uvicorn.Config(app, log_config=None, lifespan="on"))
    thread = threading.Thread(target=server.run, args=([listening],))
    thread.start()
    while not server.started:
        time.sleep(0.01)
    yield f"http://127.0.0.1:{listening.getsockname()[1]}"
    server.should_exit = True
    thread.join()


@pytest.fixture
def open_page(browser: webdriver.Chrome, address: str) -> Open:
    """Returns a function that opens a page in a window of a size, in a colour scheme."""

    def go(
        path: str = "/", size: tuple[int, int] = DESKTOP, scheme: str = "light"
    ) -> webdriver.Chrome:
        width, height = size
        metrics = {"width": width, "height": height, "deviceScaleFactor": 1}
        emulate = "Emulation.setDeviceMetricsOverride"
        browser.execute_cdp_cmd(emulate, {**metrics, "mobile": size == PHONE})
        features = [{"name": "prefers-color-scheme", "value": scheme}]
        browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": "", "features": features})
        browser.get_log("browser")  # forget what other pages said
        browser.get(address + path)
        return browser

    return go


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory, cover: Callable[..., bytes]) -> list[Path]:
    folder = tmp_path_factory.mktemp("files")
    contents = {
        "one.jpg": cover(1, side=300),
        "<img src=x onerror=harmed=1>.jpg": cover(2),
        "page.jpg": b"<p>",
    }
    for name, content in contents.items():
        (folder / name).write_bytes(content)
    return [folder / name for name in contents]


def choose(page: webdriver.Chrome, files: list[Path]) -> list[Any]:
    """Chooses files and returns the answers that appear."""
    page.find_element(By.ID, "file").send_keys("\n".join(map(str, files)))
    return WebDriverWait(page, 20).until(
        lambda page: page.find_elements(By.CSS_SELECTOR, ".answer")
    )


def test_a_chosen_cover_has_its_genres_and_bars(
    open_page: Open, files: list[Path], served: ServedModel
) -> None:
    page = open_page()
    (answer,) = choose(page, files[:1])
    probabilities, decisions = served.ask([files[0].read_bytes()])
    ranked = sorted(zip(probabilities[0], served.genres, strict=True), reverse=True)
    items = answer.find_elements(By.CSS_SELECTOR, ".bars li")
    assert [item.text.split("\n") for item in items] == [
        [genre, f"{round(100 * value)} %"] for value, genre in ranked
    ]
    track, fill = (items[0].find_element(By.CSS_SELECTOR, f".{name}") for name in ("track", "fill"))
    assert fill.size["width"] / track.size["width"] == pytest.approx(ranked[0][0], abs=0.02)
    decided = [g for g, yes in zip(served.genres, decisions[0], strict=True) if yes]
    assert answer.find_element(By.TAG_NAME, "h2").text == ", ".join(decided)
    assert "version 7" in page.find_element(By.ID, "status").text
    assert page.get_log("browser") == []


def test_hostile_names_stay_text_and_files_that_are_no_image_have_a_reason(
    open_page: Open, files: list[Path]
) -> None:
    page = open_page()
    answers = choose(page, files)
    assert [answer.find_element(By.TAG_NAME, "p").text for answer in answers] == [
        file.name for file in files
    ]
    assert "Expected an image" in answers[2].text
    assert page.execute_script("return window.harmed") is None


def test_a_cover_can_be_dropped_and_the_field_reached_by_keyboard(open_page: Open) -> None:
    page = open_page()
    page.execute_script(
        "const canvas = document.createElement('canvas'); canvas.width = canvas.height = 20;"
        "canvas.toBlob((blob) => { const data = new DataTransfer();"
        "data.items.add(new File([blob], 'drawn.png'));"
        "document.getElementById('drop').dispatchEvent("
        "new DragEvent('drop', {dataTransfer: data, bubbles: true, cancelable: true})); });"
    )
    WebDriverWait(page, 20).until(lambda page: page.find_elements(By.CSS_SELECTOR, ".bars"))
    page.execute_cdp_cmd("Input.dispatchKeyEvent", {"type": "keyDown", "key": "Tab"})
    assert page.switch_to.active_element.get_attribute("id") == "file"


@pytest.mark.parametrize("path", ["/", "/docs"])
def test_a_page_fits_a_phone_and_loads_nothing(
    open_page: Open, files: list[Path], path: str
) -> None:
    for size in (DESKTOP, PHONE):
        page = open_page(path, size, "dark")
        if path == "/":
            choose(page, files[:1])
        wide = page.execute_script("return document.documentElement.scrollWidth")
        assert wide <= size[0]
        loaded = page.execute_script(
            "return performance.getEntriesByType('resource').map((each) => each.name)"
        )
        assert {name.rpartition("/")[2] for name in loaded if name.startswith("http")} <= {
            "predict"
        }
        assert page.get_log("browser") == []
