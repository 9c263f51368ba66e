from __future__ import annotations

import logging

import apache_beam as beam
import pytest

from components.support.compat import LOCAL_BEAM_ARGS, has_no_output_left, input_options


def test_a_local_beam_pipeline_downloads_no_runner(
    caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    with caplog.at_level(logging.INFO), beam.Pipeline(argv=list(LOCAL_BEAM_ARGS)) as pipeline:
        pipeline | beam.Create([("a", 1), ("a", 2)]) | beam.GroupByKey() | beam.Map(print)
    assert "prism" not in caplog.text.lower()
    assert capfd.readouterr().out == "('a', [1, 2])\n"


def test_a_layer_that_leaves_nothing_is_told_from_other_errors() -> None:
    import keras

    layer = keras.layers.Conv2D(4, 5)
    reason, smallest = "", 1
    try:
        smallest = min(layer(keras.Input((3, 3, 3))).shape[1:])
    except Exception as error:
        reason = str(error)
    assert has_no_output_left(reason) or smallest < 1
    with pytest.raises(ValueError, match="expected") as caught:
        layer(keras.Input((3, 3, 4)))
    assert not has_no_output_left(str(caught.value))


def test_an_input_pipeline_keeps_its_order_and_is_not_tuned() -> None:
    import tensorflow as tf

    options = input_options()
    assert options.deterministic
    assert not options.autotune.enabled
    numbers = tf.data.Dataset.range(100).with_options(options)
    numbers = numbers.map(lambda number: number, num_parallel_calls=2)
    assert list(numbers.as_numpy_iterator()) == list(range(100))
