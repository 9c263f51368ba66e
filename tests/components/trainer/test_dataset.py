from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf

from components.errors import DataError
from components.trainer import dataset
from components.trainer.dataset import eval_dataset, read_split, train_dataset
from components.trainer.preprocessing import decode_and_resize


@pytest.fixture
def train(covers, schema) -> dataset.Split:
    return read_split(covers.patterns("train"), schema, "train")


def epoch(batches: tf.data.Dataset) -> tuple[np.ndarray, np.ndarray]:
    images, labels = zip(*batches.as_numpy_iterator(), strict=True)
    return np.concatenate(images), np.concatenate(labels)


def test_reads_gzipped_and_plain_files_in_order(covers, train):
    assert [file.rsplit("/", 1)[1] for file in train.files] == ["data-0.gz", "data-1"]
    np.testing.assert_array_equal(train.labels, covers.labels["train"])
    assert train.steps(16) == 3


def test_eval_batches_are_in_file_order(covers, schema, small_config):
    split = read_split(covers.patterns("eval"), schema, "eval")
    images, labels = epoch(eval_dataset(split, schema, small_config))
    assert images.shape == (len(split.labels), 48, 48, 3)
    assert (images.dtype, labels.dtype) == (np.uint8, np.float32)
    np.testing.assert_array_equal(labels, split.labels)
    for image, encoded in zip(images, covers.encoded["eval"], strict=True):
        np.testing.assert_array_equal(image, decode_and_resize(encoded, 48))


@pytest.mark.parametrize("cache", [True, False])
def test_train_order_is_fixed_by_the_seed_and_changes_every_epoch(
    train, schema, small_config, cache
):
    config = small_config.model_copy(update={"cache": cache})
    first = train_dataset(train, schema, config)
    again = train_dataset(train, schema, config)
    other = train_dataset(train, schema, config.model_copy(update={"seed": 1}))
    epochs = [epoch(first), epoch(first)]
    for images, labels in epochs:
        np.testing.assert_array_equal(images, (repeated := epoch(again))[0])
        np.testing.assert_array_equal(labels, repeated[1])
    assert not np.array_equal(epochs[0][0], epochs[1][0])
    assert not np.array_equal(epochs[0][0], epoch(other)[0])


def test_every_epoch_sees_every_cover_once(covers, train, schema, small_config):
    images, _ = epoch(train_dataset(train, schema, small_config))
    expected = {decode_and_resize(cover, 48).numpy().tobytes() for cover in covers.encoded["train"]}
    assert len(images) == len(expected) == len(train.labels)
    assert {image.tobytes() for image in images} == expected


def test_covers_that_do_not_fit_are_not_cached(train, schema, small_config, monkeypatch, caplog):
    monkeypatch.setattr(dataset, "available_memory", lambda: 1000.0)
    assert len(epoch(train_dataset(train, schema, small_config))[0]) == len(train.labels)
    assert "not cached" in caplog.text


def test_available_memory_is_positive():
    assert dataset.available_memory() > 1e6


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        ([], "Expected examples in the train split"),
        ([[0.0] * 5] * 2, "none with a genre of the schema"),
        ([[1.0] * 3] * 2, "'label' of 5 floats"),
    ],
)
def test_unusable_labels_are_data_errors(labels, message, schema, tmp_path, example, write_split):
    write_split(tmp_path, "train", [example(b"", label) for label in labels])
    with pytest.raises(DataError, match=message):
        read_split([str(tmp_path / "Split-train" / "*")], schema, "train")


def test_other_records_are_data_errors(schema, tmp_path, write_split):
    write_split(tmp_path, "train", [b"not an example"] * 2)
    with pytest.raises(DataError, match="'label' of 5 floats"):
        read_split([str(tmp_path / "Split-train" / "*")], schema, "train")


def test_absent_and_broken_files_are_data_errors(schema, tmp_path):
    pattern = str(tmp_path / "*")
    with pytest.raises(DataError, match="0 files without any"):
        read_split([pattern], schema, "train")
    (tmp_path / "data-0").write_bytes(b"broken" * 10)
    with pytest.raises(DataError, match="Ingest the data again"):
        read_split([pattern], schema, "train")
