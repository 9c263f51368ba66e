"""Slice columns in statistics and anomalies, by the nodes as TFX runs them."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
import tensorflow as tf
from tensorflow_metadata.proto.v0 import anomalies_pb2, statistics_pb2
from tfx.types import artifact_utils, standard_artifacts

from components.contracts.label_schema import DRIFT_SPLITS, LabelSchema, parse_schema
from components.cover_example_gen.examples import Cover, make_example
from components.cover_example_gen.images import ImageFacts
from components.example_validator.executor import Executor as ValidatorExecutor
from components.statistics_gen.executor import Executor as StatisticsExecutor
from components.support.compat import LOCAL_BEAM_ARGS
from pipeline.config import load_config

COLUMNS = ("year", "country", "artist", "never.given", "Überschrift 1")
COUNTRIES = ("US", "UK", "Perú")
SPLITS = ("train", "eval", *DRIFT_SPLITS)


def _covers(split: str) -> list[Cover]:
    covers = []
    for n in range(40):
        identity = f"{SPLITS.index(split) * 40 + n:064x}"
        facts = ImageFacts(
            image_id=identity,
            format="JPEG",
            width=300,
            height=300,
            size=20_000,
            orientation=1,
            brightness=n / 40,
            perceptual_hash=b"",
        )
        values: dict[str, tuple[str, ...]] = {
            "artist": (f"Artist {identity}",),
            "country": COUNTRIES[: 1 + n % 3],
            "Überschrift 1": ("x" * 100,),
        }
        if split == "train" and n % 2:  # the eval split has no year at all
            values["year"] = (str(1950 + n),)
        genre = ("electronic", "hiphop", "jazz", "pop", "rock")[n % 5]
        covers.append(
            Cover(facts, identity, (genre,), (f"{n}.jpg",), 1, "", tuple(sorted(values.items())))
        )
    return covers


@pytest.fixture(scope="module")
def validated(
    tmp_path_factory: pytest.TempPathFactory, schema_path: Path
) -> Callable[[Sequence[str]], Mapping[str, Any]]:
    """Returns a function that gives split -> statistics and anomalies, for some slice columns."""

    def run(columns: Sequence[str]) -> Mapping[str, Any]:
        root = tmp_path_factory.mktemp("validated")
        names = ", ".join(columns)
        config = load_config("sample", [f"schema={schema_path}", f"ingest.slices=[{names}]"])
        (root / "schema").mkdir()
        text = config.schema_text()
        (root / "schema" / "schema.pbtxt").write_text(text, encoding="utf-8")
        labels = LabelSchema.from_text(text)
        assert labels == LabelSchema.from_file(schema_path)
        for split in SPLITS:
            folder = root / "examples" / f"Split-{split}"
            folder.mkdir(parents=True)
            with tf.io.TFRecordWriter(str(folder / "covers.tfrecord")) as out:
                for cover in _covers(split):
                    encoded = None if split in DRIFT_SPLITS else b"an image"
                    out.write(make_example(cover, labels, encoded).SerializeToString())
        _run_nodes(root, config.ingest.slices)
        return {split: _read(root, split) for split in SPLITS if split != "previous_span"}

    return run


def _run_nodes(root: Path, columns: Sequence[str]) -> None:
    def artifact(kind: Any, name: str) -> list[Any]:
        made = kind()
        made.uri = str(root / name)
        made.split_names = artifact_utils.encode_split_names(list(SPLITS))
        return [made]

    schema = standard_artifacts.Schema()
    schema.uri = str(root / "schema")
    statistics = artifact(standard_artifacts.ExampleStatistics, "statistics")
    context = StatisticsExecutor.Context(beam_pipeline_args=list(LOCAL_BEAM_ARGS))
    StatisticsExecutor(context).Do(
        {"examples": artifact(standard_artifacts.Examples, "examples")},
        {"statistics": statistics},
        {"slices": json.dumps(columns)},
    )
    ValidatorExecutor().Do(
        {"statistics": statistics, "schema": [schema]},
        {"anomalies": artifact(standard_artifacts.ExampleAnomalies, "anomalies")},
        {"exclude_splits": json.dumps(DRIFT_SPLITS)},
    )


def _read(root: Path, split: str) -> Any:
    path = root / "statistics" / f"Split-{split}" / "FeatureStats.pb"
    statistics = statistics_pb2.DatasetFeatureStatisticsList.FromString(path.read_bytes())
    features = {each.path.step[0]: each for each in statistics.datasets[0].features}
    path = root / "anomalies" / f"Split-{split}" / "SchemaDiff.pb"
    return features, anomalies_pb2.Anomalies.FromString(path.read_bytes())


def test_slice_columns_are_profiled_and_no_anomalies(
    validated: Callable[[Sequence[str]], Mapping[str, Any]],
) -> None:
    for split, (features, anomalies) in validated(COLUMNS).items():
        assert not anomalies.anomaly_info, (split, anomalies)
        assert not anomalies.HasField("dataset_anomaly_info")
        country = features["slice/country"].string_stats
        assert country.unique == 3
        assert country.top_values[0].value == "US"
        assert features["slice/artist"].string_stats.unique == 40
        years = features.get("slice/year")
        assert (years.string_stats.common_stats.num_missing if years else 40) == (
            20 if split == "train" else 40
        )
        assert "image/encoded" not in features


def test_columns_that_are_not_sliced_by_are_not_profiled(
    validated: Callable[[Sequence[str]], Mapping[str, Any]],
) -> None:
    for features, _ in validated(["country"]).values():
        assert {name for name in features if name.startswith("slice/")} == {"slice/country"}


def test_a_schema_that_describes_a_column_is_kept(tmp_path: Path, schema_path: Path) -> None:
    mine = tmp_path / "mine.pbtxt"
    own = 'feature { name: "slice/year" type: BYTES presence { min_fraction: 0.9 } }\n'
    mine.write_text(schema_path.read_text() + own)
    text = load_config("sample", [f"schema={mine}", "ingest.slices=[year, country]"]).schema_text()
    features = {each.name: each for each in parse_schema(text, "the schema").feature}
    assert features["slice/year"].presence.min_fraction == pytest.approx(0.9)
    assert not features["slice/country"].HasField("presence")
    assert not features["slice/country"].HasField("domain")
