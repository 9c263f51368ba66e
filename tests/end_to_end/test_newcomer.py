"""The two commands of the README on public layouts, from data to a verdict and a report."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from click.testing import CliRunner
from pyarrow import parquet

from components.contracts.outcome import Outcome
from pipeline.cli import main

pytestmark = pytest.mark.slow

Write = Callable[..., Path]
GENRES = ("rock", "pop", "jazz")
COVERS = 36


def _one_hot(data: Path, write: Write) -> None:
    rows: list[list[Any]] = [["image_name", *GENRES, "year"]]
    for n in range(COVERS):
        write(data / "images" / f"{n:04d}.jpg", n)
        rows.append([f"{n:04d}", *(int(n % 3 == g) for g in range(3)), 1960 + n % 4])
    with (data / "train.csv").open("w", newline="") as file:
        csv.writer(file).writerows(rows)


def _imagefolder(data: Path, write: Write) -> None:
    for n in range(COVERS):
        split = ("train", "train", "val", "test")[n // 3 % 4]
        write(data / split / GENRES[n % 3] / f"{n}.jpg", n)


def _parquet(data: Path, write: Write) -> None:
    (data / "data").mkdir(parents=True)
    info = {"info": {"features": {"label": {"names": list(GENRES), "_type": "ClassLabel"}}}}
    for split, numbers in (("train", range(24)), ("test", range(24, COVERS))):
        files = [write(data.parent / f"{n}.jpg", n) for n in numbers]
        images = [{"bytes": file.read_bytes(), "path": file.name} for file in files]
        table = pa.table({"image": images, "label": [n % 3 for n in numbers]})
        table = table.replace_schema_metadata({"huggingface": json.dumps(info)})
        parquet.write_table(table, data / "data" / f"{split}-00000-of-00001.parquet")


def _covers(*arguments: str) -> tuple[int, str]:
    result = CliRunner().invoke(main, list(arguments))
    return result.exit_code, result.output


@pytest.mark.parametrize(
    ("fill", "given"), [(_one_hot, ()), (_imagefolder, ()), (_parquet, ("eval",))]
)
def test_two_commands_lead_from_data_to_a_verdict(
    fill: Callable[[Path, Write], None],
    given: tuple[str, ...],
    tmp_path: Path,
    write_cover: Write,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    (tmp_path / "work").mkdir()
    monkeypatch.chdir(tmp_path / "work")
    fill(tmp_path / "covers", write_cover)
    code, output = _covers("init", "../covers")
    assert code == 0, output
    assert f"{COVERS} rows" in output
    code, output = _covers("run", "--config", "covers.yaml")
    assert code in (0, Outcome.NOT_BLESSED.exit_code), output
    assert f"{COVERS} rows = {COVERS} ingested + 0 quarantined" in output
    (run,) = json.loads(_covers("runs", "--json")[1])
    result = run["result"]
    assert result["evaluation"]["genres"] == sorted(GENRES)
    assert result["ingest"]["drawn_from_train"] == list(given)
    assert Path(result["report"]).stat().st_size > 100_000
    if fill is _one_hot:
        assert result["ingest"]["given_splits"] is False
    else:
        assert result["ingest"]["given_splits"] is True
