"""Reports of runs with known predictions and names that try to do harm."""

from __future__ import annotations

import dataclasses
import io
import json
import shutil
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from selenium import webdriver
from selenium.webdriver.chrome.options import Options
from selenium.webdriver.chrome.service import Service
from tensorflow_metadata.proto.v0 import anomalies_pb2, statistics_pb2

from components.contracts.decisions import Decision, Refusal
from components.contracts.diagnosis import Finding, write_diagnosis
from components.contracts.quarantine import (
    IngestSummary,
    QuarantinedRow,
    write_quarantine,
    write_summary,
)
from components.evaluator.config import EvaluationConfig, GateConfig, Intervals, Threshold
from components.report_gen.build import write_report
from components.report_gen.sources import RunFacts, Sources

HARM = "<img src=x onerror=window.harmed=1>"
GENRES = ("electronic", "1990", HARM, "rock & roll", "naïve")
PATHS = ("</script><script>window.harmed=1</script>.jpg", f'"{HARM}.jpg', "plain.jpg")
STOPPED = Decision(
    "DataGate",
    "The data were stopped at the gate",
    (
        Refusal(
            "rows of labels.csv",
            "rows of labels.csv: expected at most 2.0% quarantined. Received: 20 of 200 (10.0%): "
            f"{HARM} 20.",
            value=0.1,
            bound=0.02,
            support=200,
            remedy="Fix or remove the rows listed in quarantine.jsonl, or raise "
            "data_gate.max_quarantined_share.",
        ),
        Refusal(
            "feature 'genres', split 'train'",
            "feature 'genres', split 'train': Unexpected string values: polka (~3%).",
            remedy="Fix the data, or edit 'genres' in the schema if the data are right.",
        ),
    ),
)

_COVERS = 200
_BROWSERS = ("chromium", "chromium-browser", "google-chrome")
_FLAGS = (
    "--headless=new",
    "--no-sandbox",
    "--disable-gpu",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--hide-scrollbars",
    "--host-resolver-rules=MAP * ~NOTFOUND",
)


@dataclasses.dataclass(frozen=True)
class WrittenReport:
    """A report, and what it was made from.

    Attributes:
        page: the HTML file.
        outputs: labels and the model's outputs; None if there is no model.
        baseline: outputs of the pushed model; None if there is none.
    """

    page: Path
    outputs: Any = None
    baseline: Any = None

    @property
    def content(self) -> dict[str, Any]:
        """What the twin for machines says."""
        return dict(json.loads(self.page.with_suffix(".json").read_text()))


@pytest.fixture(scope="session")
def sources(tmp_path_factory: pytest.TempPathFactory, labels: Any) -> Sources:
    """What a run makes before the evaluation."""
    root = tmp_path_factory.mktemp("artifacts")
    for name in ("schema", "quarantine", "statistics", "anomalies", "model_run"):
        (root / name).mkdir()
    (root / "schema" / "schema.pbtxt").write_text(f"# {HARM}\n")
    rows = [
        QuarantinedRow(
            "labels.csv", line, f"{line}{HARM}.jpg", "unknown_genre", f"Received: {HARM}"
        )
        for line in range(2, 32)
    ]
    write_quarantine(root / "quarantine", rows)
    genres_by_split = {split: dict.fromkeys(GENRES, 30) for split in ("train", "eval", "test")}
    counts = {"train": 140, "eval": 60, "test": _COVERS}
    summary = IngestSummary(
        "labels.csv", 432, 402, 30, {"unknown_genre": 30}, 400, counts, 3, 7, genres_by_split
    )
    write_summary(root / "quarantine", summary)
    _write_statistics(root)
    _write_anomalies(root)
    epochs = [
        {"epoch": e, "loss": 1 / e, "val_loss": 1.1 / e, "val_macro_roc_auc": 0.6}
        for e in (1, 2, 3)
    ]
    history = {"epochs": epochs, "monitor": "val_macro_roc_auc", "exported_epoch": 2}
    (root / "model_run" / "history.json").write_text(json.dumps(history))
    finding = Finding("all_zero_predictions", "warning", f"All zero {HARM}.", "Lower a threshold.")
    write_diagnosis(root / "model_run", [finding])
    names = ("schema", "quarantine", "statistics", "anomalies", "model_run")
    return Sources(**{name: root / name for name in names})


def _write_statistics(root: Path) -> None:
    statistics = statistics_pb2.DatasetFeatureStatisticsList()
    dataset = statistics.datasets.add(num_examples=140)
    width = dataset.features.add(path={"step": ["image/width"]})
    width.num_stats.mean = 300.0
    genres = dataset.features.add(path={"step": ["genres"]})
    genres.type = statistics_pb2.FeatureNameStatistics.STRING
    genres.string_stats.unique = len(GENRES)
    for genre in GENRES:
        genres.string_stats.top_values.add(value=genre, frequency=30)
    folder = root / "statistics" / "Split-train"
    folder.mkdir()
    (folder / "FeatureStats.pb").write_bytes(statistics.SerializeToString())


def _write_anomalies(root: Path) -> None:
    anomalies = anomalies_pb2.Anomalies()
    anomalies.anomaly_info["genres"].short_description = "Unexpected string values"
    anomalies.anomaly_info["genres"].description = f"Missing from the schema: {HARM}"
    drift = anomalies.drift_skew_info.add(path={"step": ["image/width"]})
    drift.drift_measurements.add(value=0.5, threshold=0.1)
    folder = root / "anomalies" / "Split-train"
    folder.mkdir()
    (folder / "SchemaDiff.pb").write_bytes(anomalies.SerializeToString())


@pytest.fixture(scope="session")
def refused(
    tmp_path_factory: pytest.TempPathFactory,
    sources: Sources,
    evaluate_into: Callable[..., Path],
    make_outputs: Callable[..., Any],
    draw_cover: Callable[..., Image.Image],
) -> WrittenReport:
    """The report of an unblessed model, compared with a better one."""
    directory = tmp_path_factory.mktemp("refused")
    candidate, pushed = make_outputs(0), make_outputs(1, skill=0.4)
    buffer = io.BytesIO()
    draw_cover(1).save(buffer, "JPEG")
    images = [buffer.getvalue()] * (_COVERS - 1) + [b"no image"]
    paths = [PATHS[row % len(PATHS)] for row in range(_COVERS)]
    bound = Threshold(at_least=0.85, tolerance=0.02)
    gate = GateConfig(
        min_support=60, overall={"macro_roc_auc": bound}, per_genre={"roc_auc": bound}
    )
    config = EvaluationConfig(gate=gate, intervals=Intervals(resamples=100))
    evaluation = evaluate_into(directory, config, candidate, pushed, GENRES, images, paths)
    complete = dataclasses.replace(
        sources,
        examples=directory / "examples",
        model=directory / "candidate" / "Format-Serving",
        predictions=directory / "predictions",
        evaluation=evaluation,
    )
    facts = RunFacts(
        pipeline="covers",
        outcome="not_blessed",
        data=f"covers {HARM}",
        data_fingerprint="f" * 64,
        config={"name": "covers", "note": HARM},
        baseline_version="1795500100",
        passed_over=(f"Pushed version 1795500200 was not compared with: {HARM}",),
        artifacts={"model": {"uri": f"/artifacts/{HARM}", "id": 7}},
    )
    return WrittenReport(write_report(directory / "report", complete, facts), candidate, pushed)


@pytest.fixture(scope="session")
def hundred(
    tmp_path_factory: pytest.TempPathFactory,
    sources: Sources,
    evaluate_into: Callable[..., Path],
    make_outputs: Callable[..., Any],
    draw_cover: Callable[..., Image.Image],
) -> WrittenReport:
    """The report of a model of a hundred genres, compared with another, and of slice columns."""
    directory = tmp_path_factory.mktemp("hundred")
    random = np.random.default_rng(0)
    covers, genres = 400, tuple(f"{_KINDS[n % 10]} {_STYLES[n // 10]}" for n in range(100))
    labels = random.random((covers, 100)) < 0.06
    labels[np.arange(covers), np.arange(covers) % 100] = True
    outputs = [
        dataclasses.replace(
            make_outputs(),
            labels=labels.astype(np.float32),
            probabilities=(0.5 * random.random(labels.shape) + skill * labels).astype(np.float32),
        )
        for skill in (0.25, 0.3)
    ]
    images = [_detailed_cover(draw_cover, seed) for seed in range(covers)]
    bound = Threshold(at_least=0.9, tolerance=0.01)
    config = EvaluationConfig(
        gate=GateConfig(
            min_support=25, overall={"macro_roc_auc": bound}, per_genre={"roc_auc": bound}
        ),
        intervals=Intervals(resamples=20),
    )
    slices = {
        "slice/year": [[str(1950 + seed % 73)] if seed % 9 else [] for seed in range(covers)],
        "slice/artist": [[f"{HARM} {int(seed**0.8)}"] for seed in range(covers)],
        "slice/country": [[_COUNTRIES[seed % len(_COUNTRIES)]] for seed in range(covers)],
    }
    paths = [f"{genres[seed % 100]}/{seed}.jpg" for seed in range(covers)]
    evaluation = evaluate_into(directory, config, *outputs, genres, images, paths, slices)
    (directory / "quarantine").mkdir()
    by_split = {split: dict.fromkeys(genres, 30) for split in ("train", "eval", "test")}
    counts = {"train": 1400, "eval": 200, "test": covers}
    summary = IngestSummary("labels.csv", 2000, 2000, 0, {}, 2000, counts, 3, 7, by_split)
    write_summary(directory / "quarantine", summary)
    write_quarantine(directory / "quarantine", [])
    complete = dataclasses.replace(
        sources,
        quarantine=directory / "quarantine",
        examples=directory / "examples",
        model=directory / "candidate" / "Format-Serving",
        predictions=directory / "predictions",
        evaluation=evaluation,
    )
    facts = RunFacts(
        pipeline="covers",
        outcome="not_blessed",
        data="labels.csv",
        config={"name": "covers", "genres": list(genres)},
        baseline_version="1795500100",
    )
    return WrittenReport(write_report(directory / "report", complete, facts), *outputs)


def _detailed_cover(draw_cover: Callable[..., Image.Image], seed: int) -> bytes:
    """Draws a cover with the noise of a photograph, whose thumbnail is as large as a real one's."""
    noise = Image.effect_noise((300, 300), 40).convert("RGB")
    buffer = io.BytesIO()
    Image.blend(draw_cover(seed, 300), noise, 0.4).save(buffer, "JPEG")
    return buffer.getvalue()


_KINDS = (
    "acoustic",
    "alternative",
    "contemporary",
    "electronic",
    "experimental",
    "modern",
    "progressive",
    "traditional",
    "東京",
    "underground",
)
_STYLES = (
    "blues",
    "country",
    "dance",
    "folk",
    "hip-hop",
    "jazz",
    "pop",
    "rock",
    "singer-songwriter",
    "soul",
)
_COUNTRIES = ("US", "UK", "Germany", "Japan", "Côte d'Ivoire")


@pytest.fixture(scope="session")
def stopped(tmp_path_factory: pytest.TempPathFactory, sources: Sources) -> WrittenReport:
    """The report of a run whose data were stopped at the gate."""
    before_training = dataclasses.replace(sources, model_run=None)
    facts = RunFacts(
        pipeline="covers",
        outcome="data_stopped",
        data="labels.csv",
        decision=STOPPED,
        stages={"DataGate": "failed", "Trainer": "not run"},
        run_id="20261124-120000-000000",
    )
    return WrittenReport(write_report(tmp_path_factory.mktemp("stopped"), before_training, facts))


@pytest.fixture(scope="session")
def browser() -> Iterator[webdriver.Chrome]:
    """A headless Chromium that no name resolves for."""
    found = next(filter(None, map(shutil.which, _BROWSERS)), None)
    driver = shutil.which("chromedriver")
    if not found or not driver:
        pytest.fail(
            "Expected Chromium and its driver on the PATH: the report is tested in a browser. "
            "Install them with: apt-get install chromium chromium-driver"
        )
    with tempfile.TemporaryDirectory() as profile:
        options = Options()
        options.binary_location = found
        for flag in (*_FLAGS, f"--user-data-dir={profile}"):
            options.add_argument(flag)
        options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
        chrome = webdriver.Chrome(options=options, service=Service(driver))
        yield chrome
        chrome.quit()
