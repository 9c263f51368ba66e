from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import apache_beam as beam
import pandas as pd
import pytest
import tensorflow as tf
from tfx.types import standard_artifacts

from components.artifacts import Quarantine
from components.compat import LOCAL_BEAM_ARGS
from components.cover_example_gen.component import CoverExampleGen
from components.cover_example_gen.config import IngestConfig
from components.cover_example_gen.fingerprint import fingerprint_data
from components.label_schema import FEATURE_KEYS, SPLITS
from components.quarantine import IngestSummary, read_summary

Write = Callable[..., Path]


def _ingest(
    data: Path, schema_path: Path, output: Path
) -> tuple[dict[str, tuple[str, tf.train.Example]], IngestSummary, pd.DataFrame]:
    artifacts = {
        "schema": standard_artifacts.Schema(),
        "examples": standard_artifacts.Examples(),
        "quarantine": Quarantine(),
    }
    artifacts["schema"].uri = str(schema_path.parent)
    for name in ("examples", "quarantine"):
        (output / name).mkdir(parents=True)
        artifacts[name].uri = str(output / name)
    CoverExampleGen.test_call(
        **artifacts,
        data=str(data),
        config=IngestConfig(examples_per_shard=20).model_dump_json(),
        data_fingerprint="",
        code_fingerprint="",
        beam_pipeline=beam.Pipeline(argv=list(LOCAL_BEAM_ARGS)),
    )
    examples = {}
    for split in SPLITS:
        files = sorted((output / "examples" / f"Split-{split}").iterdir())
        assert files
        for record in tf.data.TFRecordDataset([str(file) for file in files]):
            example = tf.train.Example.FromString(record.numpy())
            image_id = example.features.feature["image/id"].bytes_list.value[0].decode()
            examples[image_id] = (split, example)
    quarantined = pd.read_json(output / "quarantine" / "quarantine.jsonl", lines=True)
    return examples, read_summary(output / "quarantine"), quarantined


@pytest.fixture
def folder(tmp_path: Path, write_cover: Write, labels) -> Path:
    root = tmp_path / "by_genre"
    for seed in range(60):
        write_cover(root / labels.genres[seed % 5] / f"{seed:02d}.jpg", seed)
    for seed in range(0, 60, 10):
        write_cover(root / "jazz" / f"again-{seed:02d}.jpg", seed)
    return root


@pytest.fixture
def manifest(tmp_path: Path, folder: Path, labels) -> Path:
    lines = ["image,genres"]
    for seed in range(60):
        genres = {labels.genres[seed % 5]} | ({"jazz"} if seed % 10 == 0 else set())
        path = f"by_genre/{labels.genres[seed % 5]}/{seed:02d}.jpg"
        lines.append(f"{path},{'|'.join(sorted(genres))}")
    path = tmp_path / "labels.csv"
    path.write_text("\n".join(lines) + "\n")
    return path


def _labels_and_splits(examples) -> dict[str, tuple[str, tuple[bytes, ...], tuple[float, ...]]]:
    return {
        image_id: (
            split,
            tuple(example.features.feature["genres"].bytes_list.value),
            tuple(example.features.feature["label"].float_list.value),
        )
        for image_id, (split, example) in examples.items()
    }


def test_folder_and_manifest_give_the_same_examples(
    folder: Path, manifest: Path, schema_path: Path, tmp_path: Path
) -> None:
    from_folder, summary, _ = _ingest(folder, schema_path, tmp_path / "out1")
    from_manifest, manifest_summary, _ = _ingest(manifest, schema_path, tmp_path / "out2")
    assert _labels_and_splits(from_folder) == _labels_and_splits(from_manifest)
    assert (summary.rows_given, summary.rows_ingested, summary.examples) == (66, 66, 60)
    assert summary.rows_merged == 6
    assert (manifest_summary.rows_given, manifest_summary.examples) == (60, 60)


def test_an_example_has_every_feature_and_the_original_bytes(
    folder: Path, schema_path: Path, tmp_path: Path
) -> None:
    examples, _, _ = _ingest(folder, schema_path, tmp_path / "out")
    for _, example in examples.values():
        feature = example.features.feature
        assert set(feature) == set(FEATURE_KEYS)
        paths = [path.decode() for path in feature["image/path"].bytes_list.value]
        assert feature["image/encoded"].bytes_list.value[0] == (folder / paths[0]).read_bytes()
        assert {path.split("/")[0] for path in paths} == {
            genre.decode() for genre in feature["genres"].bytes_list.value
        }


def test_near_duplicates_share_a_split(
    folder: Path, schema_path: Path, tmp_path: Path, write_cover: Write
) -> None:
    for seed in range(60):
        write_cover(folder / "pop" / f"re-issue-{seed:02d}.jpg", seed, side=140, quality=60)
    examples, summary, _ = _ingest(folder, schema_path, tmp_path / "out")
    assert len(examples) == 120
    assert (summary.near_duplicate_groups, summary.near_duplicates) == (60, 120)
    splits_of_group: dict[bytes, set[str]] = {}
    for split, example in examples.values():
        group = example.features.feature["image/group"].bytes_list.value[0]
        splits_of_group.setdefault(group, set()).add(split)
    assert all(len(splits) == 1 for splits in splits_of_group.values())


def test_bad_rows_are_quarantined_with_reasons_and_nothing_is_lost(
    manifest: Path, schema_path: Path, tmp_path: Path
) -> None:
    (tmp_path / "empty.jpg").touch()
    (tmp_path / "page.jpg").write_text("<html></html>")
    whole = (tmp_path / "by_genre/rock/04.jpg").read_bytes()
    (tmp_path / "cut.jpg").write_bytes(whole[: len(whole) // 2])
    (tmp_path / "folder.jpg").mkdir()
    with manifest.open("a") as file:
        file.write(
            "gone.jpg,rock\nempty.jpg,rock\npage.jpg,rock\ncut.jpg,rock\nfolder.jpg,rock\n"
            "by_genre/rock/04.jpg,\nby_genre/rock/04.jpg,rock|polka\n"
            "../../etc/passwd,rock\n/etc/passwd,rock\nby_genre/rock/04.jpg\n"
        )
    examples, summary, quarantined = _ingest(manifest, schema_path, tmp_path / "out")
    assert list(quarantined["reason"]) == [
        "missing_file",
        "empty_file",
        "not_an_image",
        "undecodable_image",
        "not_a_file",
        "no_genre",
        "unknown_genre",
        "outside_data_directory",
        "outside_data_directory",
        "malformed_row",
    ]
    assert list(quarantined["line"]) == list(range(62, 72))
    assert set(quarantined["source"]) == {"labels.csv"}
    assert "polka" in quarantined["detail"][6]
    assert summary.rows_given == summary.rows_ingested + summary.rows_quarantined == 70
    assert len(examples) == 60


def test_the_same_input_gives_the_same_bytes(
    folder: Path, schema_path: Path, tmp_path: Path
) -> None:
    _ingest(folder, schema_path, tmp_path / "out1")
    _ingest(folder, schema_path, tmp_path / "out2")
    first = sorted((tmp_path / "out1").rglob("*.tfrecord"))
    second = sorted((tmp_path / "out2").rglob("*.tfrecord"))
    assert [file.name for file in first] == [file.name for file in second]
    assert [f.read_bytes() for f in first] == [f.read_bytes() for f in second]


def test_the_fingerprint_follows_content_not_time(folder: Path, write_cover: Write) -> None:
    before = fingerprint_data(folder)
    cover = folder / "rock" / "04.jpg"
    cover.touch()
    assert fingerprint_data(folder) == before
    write_cover(cover, 1000)
    assert fingerprint_data(folder) != before


def test_the_account_is_readable_as_json(folder: Path, schema_path: Path, tmp_path: Path) -> None:
    _ingest(folder, schema_path, tmp_path / "out")
    account = json.loads((tmp_path / "out" / "quarantine" / "summary.json").read_text())
    assert account["examples"] == sum(account["examples_by_split"].values()) == 60
