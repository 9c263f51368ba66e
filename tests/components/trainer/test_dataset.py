from __future__ import annotations

import hashlib

import numpy as np
import pytest
import tensorflow as tf

from components.support.errors import DataError
from components.trainer import dataset
from components.trainer.dataset import (
    Position,
    eval_dataset,
    images_dataset,
    load_images,
    read_split,
    train_dataset,
)
from components.trainer.parts import Part
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
    assert train.ids == tuple(hashlib.sha256(each).hexdigest() for each in covers.encoded["train"])
    assert train.steps(16) == 3


def batches_of(train, schema, config, start: Position = dataset.START) -> list:
    images = load_images(train, schema, config)
    assert (images is not None) == config.cache
    return list(train_dataset(train, images, schema, config, start).as_numpy_iterator())


@pytest.mark.parametrize("cache", [True, False])
def test_eval_batches_are_in_file_order(covers, schema, small_config, cache):
    config = small_config.model_copy(update={"cache": cache})
    split = read_split(covers.patterns("eval"), schema, "eval")
    batches = eval_dataset(split, load_images(split, schema, config), schema, config)
    images, labels = epoch(batches)
    assert images.shape == (len(split.labels), 48, 48, 3)
    assert (images.dtype, labels.dtype) == (np.uint8, np.float32)
    np.testing.assert_array_equal(labels, split.labels)
    for image, encoded in zip(images, covers.encoded["eval"], strict=True):
        np.testing.assert_array_equal(image, decode_and_resize(encoded, 48))


@pytest.mark.parametrize("cache", [True, False])
def test_chosen_covers_come_in_file_order_and_others_are_not_decoded(
    schema, small_config, tmp_path, example, write_split, covers, cache
):
    encoded = covers.encoded["eval"][:5]
    if not cache:
        encoded = [*encoded[:2], b"not a cover", *encoded[3:]]
    write_split(tmp_path, "eval", [example(each, [1.0, 0.0, 0.0, 0.0, 0.0]) for each in encoded])
    split = read_split([str(tmp_path / "Split-eval" / "*")], schema, "eval")
    config = small_config.model_copy(update={"cache": cache, "batch_size": 2})
    images = load_images(split, schema, config)
    rows = np.array([0, 3, 4])
    batches = list(images_dataset(split, images, rows, schema, config).as_numpy_iterator())
    assert [len(batch) for batch in batches] == [2, 1]
    for row, image in zip(rows, np.concatenate(batches), strict=True):
        np.testing.assert_array_equal(image, decode_and_resize(encoded[row], 48))


@pytest.mark.parametrize("cache", [True, False])
def test_train_order_is_fixed_by_the_seed_and_changes_every_epoch(
    train, schema, small_config, cache
):
    config = small_config.model_copy(update={"cache": cache})
    steps = train.steps(config.batch_size)
    first, again = (batches_of(train, schema, config) for _ in range(2))
    other = batches_of(train, schema, config.model_copy(update={"seed": 1}))
    assert len(first) == config.epochs * steps
    for (images, labels), (images_again, labels_again) in zip(first, again, strict=True):
        np.testing.assert_array_equal(images, images_again)
        np.testing.assert_array_equal(labels, labels_again)
    assert not np.array_equal(first[0][0], first[steps][0])
    assert not np.array_equal(first[0][0], other[0][0])


@pytest.mark.parametrize("cache", [True, False])
@pytest.mark.parametrize("start", [Position(0, 3), Position(1, 0), Position(1, 4)])
def test_a_training_goes_on_at_its_position(train, schema, small_config, cache, start):
    config = small_config.model_copy(update={"cache": cache})
    done = start.epoch * train.steps(config.batch_size) + start.step
    whole = batches_of(train, schema, config)
    rest = batches_of(train, schema, config, start)
    assert len(rest) == len(whole) - done
    for (images, labels), (images_again, labels_again) in zip(whole[done:], rest, strict=True):
        np.testing.assert_array_equal(images, images_again)
        np.testing.assert_array_equal(labels, labels_again)


@pytest.mark.parametrize("cache", [True, False])
def test_every_epoch_sees_every_cover_once(covers, train, schema, small_config, cache, monkeypatch):
    monkeypatch.setattr(dataset, "_SHUFFLED_BLOCK", 7)
    config = small_config.model_copy(update={"cache": cache, "epochs": 2, "batch_size": 16})
    batches = batches_of(train, schema, config)
    expected = {decode_and_resize(cover, 48).numpy().tobytes() for cover in covers.encoded["train"]}
    steps = train.steps(16)
    assert len(batches) == 2 * steps  # of which each epoch's last is smaller
    for epoch in (batches[:steps], batches[steps:]):
        images = np.concatenate([images for images, _ in epoch])
        assert len(images) == len(expected) == len(train.labels)
        assert {image.tobytes() for image in images} == expected


@pytest.mark.parametrize(
    ("cache", "start", "workers", "batch_size"),
    [
        (True, Position(0, 2), 3, 13),
        (False, Position(0, 2), 5, 6),
        (False, Position(1, 0), 2, 8),
    ],
)
def test_the_parts_of_all_workers_are_the_batches_of_one(
    train, schema, small_config, cache, start, workers, batch_size
):
    config = small_config.model_copy(update={"cache": cache, "batch_size": batch_size})
    images = load_images(train, schema, config)
    parts = [Part(index, workers) for index in range(workers)]

    def check(whole: tf.data.Dataset, shares: list[tf.data.Dataset]) -> None:
        batches = list(whole.as_numpy_iterator())
        own = [list(share.as_numpy_iterator()) for share in shares]
        assert {len(each) for each in own} == {len(batches)}
        for number, (pixels, labels) in enumerate(batches):
            counts = np.concatenate([each[number][2] for each in own]) > 0
            assert all(len(each[number][0]) for each in own)
            together = [np.concatenate([each[number][key] for each in own]) for key in (0, 1)]
            np.testing.assert_array_equal(together[0][counts], pixels)
            np.testing.assert_array_equal(together[1][counts], labels)

    check(
        train_dataset(train, images, schema, config, start),
        [train_dataset(train, images, schema, config, start, part) for part in parts],
    )
    check(
        eval_dataset(train, images, schema, config),
        [eval_dataset(train, images, schema, config, part) for part in parts],
    )


def test_a_worker_decodes_no_cover_of_another(
    schema, small_config, tmp_path, example, write_split, covers
):
    encoded = [*covers.encoded["eval"][:3], b"not a cover"]
    write_split(tmp_path, "train", [example(each, [1.0, 0.0, 0.0, 0.0, 0.0]) for each in encoded])
    split = read_split([str(tmp_path / "Split-train" / "*")], schema, "train")
    config = small_config.model_copy(update={"batch_size": 4})
    whole = eval_dataset(split, None, schema, config)
    first, second = (eval_dataset(split, None, schema, config, Part(index, 2)) for index in (0, 1))
    assert [len(images) for images, _, _ in first] == [2]
    for batches in (whole, second):
        with pytest.raises(tf.errors.InvalidArgumentError):
            list(batches)


def test_covers_that_do_not_fit_are_not_cached(train, schema, small_config, monkeypatch, caplog):
    monkeypatch.setattr(dataset, "available_memory", lambda: 1000.0)
    assert load_images(train, schema, small_config) is None
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
