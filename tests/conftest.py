"""Small real covers, and an S3 on this machine, for all tests."""

from __future__ import annotations

import os
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
from PIL import Image

from components.contracts.label_schema import LabelSchema
from components.support.home import ensure_home

if TYPE_CHECKING:
    from selenium import webdriver

ensure_home()  # here, since the conftest.py of a folder below may import what insists on one

ROOT = Path(__file__).parent.parent
_NO_BROWSER = "No browser. "
_FLAGS = (
    "--headless=new",
    "--no-sandbox",
    "--disable-gpu",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--hide-scrollbars",
    "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1",
)


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--other-line",
        metavar="DIR",
        help="The pipeline root of `make run` on the other dependency line, see .ci/run.",
    )


@pytest.hookimpl(trylast=True)
def pytest_unconfigure(config: pytest.Config) -> None:
    """Ends with what was not run, below pytest's own last line, where nobody overlooks it."""
    reporter = config.pluginmanager.get_plugin("terminalreporter")
    skipped = reporter.stats.get("skipped", []) if reporter else []
    reasons = [report.longrepr[2] for report in skipped if isinstance(report.longrepr, tuple)]
    missed = [reason.partition(_NO_BROWSER)[2] for reason in reasons if _NO_BROWSER in reason]
    if missed:
        reporter.write_line(
            f"Not run: the {len(missed)} tests of the report in a browser. {missed[0]}"
        )


@pytest.fixture(scope="session")
def browser_programs() -> tuple[str, str]:
    """Chromium and its driver; a test that needs them is skipped where they are missing."""
    done = subprocess.run(
        [ROOT / "requirements" / "browser.sh", "check"], stdout=subprocess.PIPE, text=True
    )
    if done.returncode != 0:
        if os.environ.get("COVERS_REQUIRE_SYSTEM_PACKAGES") == "1":
            pytest.fail(f"Expected a browser. Received: none. {done.stdout.strip()}")
        pytest.skip(_NO_BROWSER + done.stdout.strip())
    program, driver = done.stdout.splitlines()
    return program, driver


@pytest.fixture(scope="session")
def browser(browser_programs: tuple[str, str]) -> Iterator[webdriver.Chrome]:
    """A headless Chromium that no name resolves for; it reaches servers of this machine."""
    from selenium import webdriver
    from selenium.webdriver.chrome.options import Options
    from selenium.webdriver.chrome.service import Service

    program, driver = browser_programs
    with tempfile.TemporaryDirectory() as profile:
        options = Options()
        options.binary_location = program
        for flag in (*_FLAGS, f"--user-data-dir={profile}"):
            options.add_argument(flag)
        options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
        chrome = webdriver.Chrome(options=options, service=Service(driver))
        yield chrome
        chrome.quit()


@pytest.fixture(scope="session")
def schema_path() -> Path:
    return ROOT / "schema" / "schema.pbtxt"


@pytest.fixture(scope="session")
def labels(schema_path: Path) -> LabelSchema:
    return LabelSchema.from_file(schema_path)


@pytest.fixture(scope="session")
def draw_cover() -> Callable[..., Image.Image]:
    """Returns a function that draws a distinct cover for each seed."""

    def draw(seed: int, side: int = 100) -> Image.Image:
        random = np.random.default_rng(seed)
        blocks = random.integers(0, 256, (8, 8, 3), dtype=np.uint8)
        return Image.fromarray(blocks).resize((side, side), Image.Resampling.BICUBIC)

    return draw


@pytest.fixture(scope="session")
def write_cover(draw_cover: Callable[..., Image.Image]) -> Callable[..., Path]:
    """Returns a function that writes a distinct cover for each seed."""

    def write(path: Path, seed: int, side: int = 100, quality: int = 90) -> Path:
        path.parent.mkdir(parents=True, exist_ok=True)
        draw_cover(seed, side).save(path, quality=quality)
        return path

    return write


@pytest.fixture(scope="session")
def s3() -> Iterator[dict[str, str]]:
    """Yields the environment variables with which to use an S3 on this machine."""
    moto = pytest.importorskip("moto.server")
    server = moto.ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    environment = {
        "AWS_ENDPOINT_URL_S3": f"http://{host}:{port}",
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "test",
        "AWS_DEFAULT_REGION": "us-east-1",
    }
    with pytest.MonkeyPatch.context() as patch:
        for name, value in environment.items():
            patch.setenv(name, value)
        import fsspec

        fsspec.filesystem("s3").mkdir("bucket")
        yield environment
    server.stop()
