from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pyarrow as pa
import pytest
from tensorflow_data_validation.statistics import stats_impl
from tensorflow_metadata.proto.v0 import anomalies_pb2, statistics_pb2
from tfx.types import artifact_utils, standard_artifacts

from components.contracts.drift import find_drift
from components.contracts.label_schema import read_schema
from components.example_validator.executor import Executor

Statistics = statistics_pb2.DatasetFeatureStatisticsList


def _statistics(
    genres: Sequence[str], side: int = 300, brightness: float = 0.5, image_format: str = "JPEG"
) -> Statistics:
    count = 300
    columns = {
        "genres": [[genres[n % len(genres)]] for n in range(count)],
        "image/format": [[image_format]] * count,
        "image/width": [[side]] * count,
        "image/height": [[side]] * count,
        "image/size": [[20_000 + n] for n in range(count)],
        "image/brightness": [[brightness + n / 1000] for n in range(count)],
    }
    return stats_impl.generate_statistics_in_memory(
        pa.RecordBatch.from_arrays([pa.array(v) for v in columns.values()], list(columns))
    )


@pytest.fixture(scope="module")
def usual() -> Statistics:
    return _statistics(["pop", "rock"])


def test_the_same_distribution_is_no_drift(usual: Statistics, schema_path: Path) -> None:
    anomalies = find_drift(usual, usual, read_schema(schema_path))
    assert not anomalies.anomaly_info
    assert {info.path.step[0] for info in anomalies.drift_skew_info} == {
        "genres",
        "image/format",
        "image/width",
        "image/height",
        "image/size",
        "image/brightness",
    }


@pytest.mark.parametrize(
    ("changed", "features"),
    [
        ({"genres": ["pop", "pop", "rock"]}, {"genres"}),
        ({"genres": ["pop", "rock"], "side": 500}, {"image/width", "image/height"}),
        ({"genres": ["pop", "rock"], "brightness": 0.1}, {"image/brightness"}),
        ({"genres": ["pop", "rock"], "image_format": "PNG"}, {"image/format"}),
    ],
)
def test_a_changed_distribution_is_drift(
    changed: dict, features: set[str], usual: Statistics, schema_path: Path
) -> None:
    anomalies = find_drift(_statistics(**changed), usual, read_schema(schema_path))
    assert set(anomalies.anomaly_info) == features


def _artifacts(root: Path, schema_path: Path, splits: dict[str, Statistics]) -> tuple[dict, dict]:
    statistics = standard_artifacts.ExampleStatistics()
    statistics.uri = str(root / "statistics")
    statistics.split_names = artifact_utils.encode_split_names(list(splits))
    for split, content in splits.items():
        folder = root / "statistics" / f"Split-{split}"
        folder.mkdir(parents=True)
        (folder / "FeatureStats.pb").write_bytes(content.SerializeToString())
    schema = standard_artifacts.Schema()
    schema.uri = str(root / "schema")
    (root / "schema").mkdir()
    (root / "schema" / "schema.pbtxt").write_text(schema_path.read_text())
    anomalies = standard_artifacts.ExampleAnomalies()
    anomalies.uri = str(root / "anomalies")
    return {"statistics": [statistics], "schema": [schema]}, {"anomalies": [anomalies]}


EXCLUDED = {"exclude_splits": '["newest_span", "previous_span"]'}


def test_drift_is_recorded_beside_the_anomalies_of_the_splits(
    usual: Statistics, schema_path: Path, tmp_path: Path
) -> None:
    inputs, outputs = _artifacts(
        tmp_path,
        schema_path,
        {"train": usual, "newest_span": _statistics(["jazz"]), "previous_span": usual},
    )
    result = Executor().Do(inputs, outputs, dict(EXCLUDED))
    artifact = result.output_artifacts["anomalies"].artifacts[0]
    assert artifact.properties["split_names"].string_value == '["train", "newest_span"]'
    path = tmp_path / "anomalies" / "Split-newest_span" / "SchemaDiff.pb"
    recorded = anomalies_pb2.Anomalies.FromString(path.read_bytes())
    assert set(recorded.anomaly_info) == {"genres"}
    assert (tmp_path / "anomalies" / "Split-train" / "SchemaDiff.pb").is_file()


def test_data_without_an_earlier_span_have_no_drift(
    usual: Statistics, schema_path: Path, tmp_path: Path
) -> None:
    inputs, outputs = _artifacts(tmp_path, schema_path, {"train": usual})
    result = Executor().Do(inputs, outputs, dict(EXCLUDED))
    artifact = result.output_artifacts["anomalies"].artifacts[0]
    assert artifact.properties["split_names"].string_value == '["train"]'
