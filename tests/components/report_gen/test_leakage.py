"""Leakage suspects: silent where files tell nothing, and named where they do."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import tensorflow as tf

from components.contracts.files import split_folder
from components.contracts.quarantine import IngestSummary, write_summary
from components.report_gen.leakage import FileFacts, check_files, check_leakage, check_straddling

GENRES = ("rock", "pop")
_COVERS = 400


@pytest.fixture
def facts():
    """Files that differ, and tell nothing."""
    random = np.random.default_rng(0)
    return FileFacts(
        formats=random.choice(["JPEG", "PNG"], _COVERS).tolist(),
        sides=random.choice([150, 300, 600], (_COVERS, 2)),
        sizes=random.integers(5_000, 90_000, _COVERS),
        folders=random.choice(["a", "b", "c"], _COVERS).tolist(),
        groups=[str(row) for row in range(_COVERS)],
        labels=random.random((_COVERS, 2)) < 0.3,
    )


def test_files_that_tell_nothing_are_no_finding(facts):
    assert check_files(GENRES, facts) == []


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("formats", "their format"),
        ("sides", "width and height"),
        ("sizes", "their bytes"),
        ("folders", "their folder"),
    ],
)
def test_each_property_is_named_with_its_genre(facts, name, words):
    rock = facts.labels[:, 0]
    values = {
        "formats": np.where(rock, "PNG", "JPEG").tolist(),
        "sides": np.where(rock[:, None], 600, 300) + facts.sides * 0,
        "sizes": np.where(rock, 50_000, 20_000) + facts.sizes % 1000,
        "folders": np.where(rock, "scans", "shop").tolist(),
    }
    (finding,) = check_files(GENRES, dataclasses.replace(facts, **{name: values[name]}))
    assert finding.code == "told_by_files"
    assert f"rock by {words} (1.00)" in finding.sentence
    assert "pop" not in finding.sentence
    assert finding.numbers[f"{words}: rock"] == pytest.approx(1.0)


def test_a_few_covers_are_no_proof_and_copies_none_of_each_other(facts):
    few = np.zeros((_COVERS, 2), bool)
    few[:10, 0] = True
    formats = np.where(few[:, 0], "PNG", "JPEG").tolist()
    assert check_files(GENRES, dataclasses.replace(facts, labels=few, formats=formats)) == []
    # Every group has a size of its own, which tells nothing of other groups.
    groups = [str(row // 2) for row in range(_COVERS)]
    own = np.repeat(np.random.default_rng(1).permutation(_COVERS // 2), 2) * 1000
    labels = np.repeat(np.random.default_rng(2).random((_COVERS // 2, 2)) < 0.3, 2, axis=0)
    pairs = dataclasses.replace(facts, groups=groups, sizes=own, labels=labels)
    assert check_files(GENRES, pairs) == []


def test_near_duplicates_in_two_splits_are_a_suspect():
    assert check_straddling({}) == []
    (finding,) = check_straddling({"train and test": 3, "train and eval": 1})
    assert finding.code == "near_duplicates_across_splits"
    assert "4 pairs of near-duplicates" in finding.sentence
    assert "3 in train and test" in finding.sentence


@pytest.mark.parametrize(
    ("source", "folder", "is_found"),
    [
        ("labels.csv", "{source}", True),
        ("labels.csv", "covers/{genre}", False),
        ("labels.csv", "Covers/{upper}", False),
        ("covers", "{source}", False),
    ],
)
def test_folders_that_gave_the_genres_are_no_suspects(tmp_path, source, folder, is_found):
    def texts(*values):
        return tf.train.Feature(bytes_list=tf.train.BytesList(value=[v.encode() for v in values]))

    for split, first in (("train", 0), ("eval", 100), ("test", 200)):
        split_folder(tmp_path, split).mkdir()
        with tf.io.TFRecordWriter(str(split_folder(tmp_path, split) / "covers")) as out:
            for row in range(first, first + 100):
                genre = GENRES[row % 2]
                named = folder.format(source="ab"[row % 2], genre=genre, upper=genre.upper())
                label = [float(genre == each) for each in GENRES]
                feature = {
                    "image/path": texts(f"{named}/{row}.jpg"),
                    "image/group": texts(str(row)),
                    "label": tf.train.Feature(float_list=tf.train.FloatList(value=label)),
                }
                example = tf.train.Example(features=tf.train.Features(feature=feature))
                out.write(example.SerializeToString())
    counts = {"train": 100, "eval": 100, "test": 100}
    summary = IngestSummary(source, 300, 300, 0, {}, 300, counts, 0, 0, {})
    write_summary(tmp_path, summary)
    found = check_leakage(GENRES, tmp_path, tmp_path)
    assert [each.code for each in found] == ["told_by_files"] * is_found
    if is_found:
        assert "rock by their folder (1.00)" in found[0].sentence
