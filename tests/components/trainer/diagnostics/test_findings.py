"""Each check finds its fault, with the right number, and says nothing without it."""

from __future__ import annotations

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import layers

from components.trainer.diagnostics.augmentation import (
    check_geometry,
    measure_geometry,
    write_picture,
)
from components.trainer.diagnostics.calibration import check_calibration
from components.trainer.diagnostics.history import check_fit, check_history
from components.trainer.diagnostics.learning_rate import check_learning_rate, range_test
from components.trainer.diagnostics.network import (
    check_activity,
    check_gradients,
    check_saturation,
    gradient_norms,
    layer_activity,
)
from components.trainer.diagnostics.predictions import (
    check_class_imbalance,
    check_predictions,
    describe_ranking,
)
from components.trainer.thresholds import DecisionRule

GENRES = ("rock", "pop", "jazz")


def codes(findings) -> list[str]:
    assert all(each.sentence and each.remedy and each.numbers for each in findings)
    return [each.code for each in findings]


@pytest.fixture
def labels() -> np.ndarray:
    labels = (np.random.default_rng(0).random((400, 3)) < 0.25).astype(np.float32)
    labels[labels.sum(axis=1) == 0, 0] = 1.0
    return labels


@pytest.fixture
def good(labels: np.ndarray) -> np.ndarray:
    noise = np.random.default_rng(1).random(labels.shape)
    return (0.6 * labels + 0.4 * noise).astype(np.float32)


def rule(threshold: float) -> DecisionRule:
    return DecisionRule(np.full(3, threshold, np.float32))


def test_good_predictions_have_no_findings(labels, good):
    assert check_predictions(GENRES, labels, good, rule(0.5)) == []


def test_probabilities_near_the_prior_never_reach_one_half(labels, good):
    findings = check_predictions(GENRES, labels, 0.15 + 0.2 * good, rule(0.5))
    assert codes(findings) == ["all_zero_predictions", "metrics_equal_the_label_density"]
    numbers = findings[1].numbers
    assert numbers["hamming_loss"] == pytest.approx(labels.mean(), abs=1e-6)
    assert numbers["labelwise_accuracy"] == pytest.approx(1 - labels.mean(), abs=1e-6)
    assert numbers["exact_match_ratio"] == 0.0
    assert "100% of 400 covers" in findings[0].sentence


def test_a_dead_network_says_the_same_of_every_cover(labels, good):
    findings = check_predictions(GENRES, labels, 0.2 + 1e-4 * good, rule(0.5))
    assert codes(findings)[0] == "constant_predictions"


def test_a_coin_ranks_no_better_than_chance(labels):
    random = np.random.default_rng(2).random(labels.shape)
    assert codes(check_predictions(GENRES, labels, random, rule(0.7))) == [
        "hardly_better_than_chance"
    ]


def test_too_many_genres_and_constant_genres(labels, good):
    findings = check_predictions(GENRES, labels, good, rule(0.001))
    assert codes(findings) == ["label_cardinality", *["constant_genre"] * 3]
    assert findings[0].numbers["predicted"] == pytest.approx(3, abs=0.1)


def test_genres_that_cannot_be_ranked_are_named(labels, good):
    ranked = describe_ranking(GENRES, labels, good)
    assert ranked.startswith("macro ROC AUC ") and "cannot be ranked" not in ranked
    labels[:, 1] = 0.0
    assert "without pop (true of no cover), which cannot be ranked" in describe_ranking(
        GENRES, labels, good
    )
    labels[:] = [1.0, 0.0, 0.0]
    described = describe_ranking(GENRES, labels, good)
    assert described.startswith("no ROC AUC and no average precision")
    assert "rock (true of every cover), pop (true of no cover), jazz" in described


@pytest.mark.filterwarnings("error")
def test_one_class_makes_no_undefined_number(labels, good):
    labels[:] = [1.0, 0.0, 0.0]
    same = np.full_like(good, 0.4)
    for probabilities in (good, same):
        findings = check_predictions(GENRES, labels, probabilities, rule(0.5))
        assert "nan" not in "".join(finding.sentence for finding in findings)
        numbers = [number for finding in findings for number in finding.numbers.values()]
        assert np.isfinite(numbers).all()
    assert "constant_predictions" in codes(check_predictions(GENRES, labels, same, rule(0.5)))


def test_class_imbalance(labels):
    assert check_class_imbalance(GENRES, labels) == []
    labels[:, 2] = 0
    labels[:4, 2] = 1
    (finding,) = check_class_imbalance(GENRES, labels)
    assert finding.code == "class_imbalance" and "1% of the covers are jazz" in finding.sentence


def row(hamming: float, exact: float, auc: float, loss: float) -> dict[str, float]:
    return {
        "val_hamming_loss": hamming,
        "val_exact_match_ratio": exact,
        "val_macro_roc_auc": auc,
        "loss": loss,
    }


def test_threshold_metrics_that_stand_still_while_the_network_learns():
    epochs = [row(0.2126, 0.0, 0.52, 0.53), row(0.2126, 0.0, 0.57, 0.51)]
    (finding,) = check_history(epochs)
    assert finding.code == "threshold_metrics_stand_still"
    assert "from 0.520 to 0.570" in finding.sentence
    assert check_history(epochs[:1]) == []
    assert check_history([*epochs, row(0.19, 0.2, 0.6, 0.5)]) == []


def _epochs(*rows: tuple[float, float, float, float]) -> list[dict[str, float]]:
    names = ("loss", "val_loss", "macro_roc_auc", "val_macro_roc_auc")
    return [dict(zip(names, row, strict=True)) for row in rows]


def test_a_network_that_learns_by_heart_is_found_with_the_epoch_from_which_it_does():
    epochs = _epochs(
        (0.51, 0.50, 0.60, 0.68),
        (0.45, 0.47, 0.75, 0.70),
        (0.39, 0.472, 0.83, 0.70),
        (0.35, 0.478, 0.88, 0.70),
    )
    (finding,) = check_fit(epochs, planned=4)
    assert codes([finding]) == ["overfitting"]
    assert finding.sentence.startswith("Since epoch 2 the loss on the eval split rises")
    assert finding.numbers["least_loss_epoch"] == 2
    assert check_fit(epochs[:3], planned=4) == []  # one epoch of a slight rise may be noise


def test_a_gap_without_a_rising_loss_and_a_rise_without_a_gap_are_no_overfitting():
    gap = _epochs(*[(0.4 - 0.01 * n, 0.45 - 0.01 * n, 0.9, 0.75) for n in range(4)])
    rise = _epochs(*[(0.4, 0.45 + 0.01 * n, 0.76, 0.75) for n in range(4)])
    assert check_fit(gap, planned=4) == check_fit(rise, planned=4) == []


def test_a_training_that_ended_while_it_learnt_is_found():
    rising = _epochs(*[(0.5, 0.5, 0.55 + 0.02 * n, 0.55 + 0.02 * n) for n in range(8)])
    assert codes(check_fit(rising, planned=8)) == ["training_ended_early"]
    assert check_fit(rising, planned=20) == []  # there is more to come
    flat = rising + _epochs(*[(0.5, 0.5, 0.7, 0.69)] * 8)
    assert check_fit(flat, planned=16) == []


def relu_network(bias: float) -> keras.Model:
    keras.utils.set_random_seed(0)
    return keras.Sequential(
        [
            keras.Input((16, 16, 3)),
            layers.Rescaling(1 / 255),
            layers.Conv2D(8, 3, activation="relu", name="conv"),
            layers.GlobalAveragePooling2D(),
            layers.Dense(6, activation="relu", bias_initializer=keras.initializers.Constant(bias)),
            layers.Dense(3, activation="sigmoid"),
        ]
    )


@pytest.fixture
def images() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (20, 16, 16, 3), dtype=np.uint8)


def functional(network: keras.Sequential) -> keras.Model:
    return keras.Model(network.inputs[0], network.outputs[0])


def test_dead_units_are_counted_per_layer(images):
    alive, dead = (layer_activity(functional(relu_network(bias)), images) for bias in (1.0, -9.0))
    assert [layer.units for layer in alive] == [8, 6]
    assert check_activity(alive) == []
    (finding,) = check_activity(dead)
    assert dead[1].dead_share == 1.0
    assert finding.code == "dead_units" and "100%" in finding.sentence


def test_a_dead_network_has_no_gradient(images, labels):
    loss = keras.losses.binary_crossentropy
    norms = gradient_norms(functional(relu_network(1.0)), loss, images, labels[:20])
    assert check_gradients(norms) == []
    assert set(norms) and all(norm >= 0 for norm in norms.values())
    assert codes(check_gradients(dict.fromkeys(norms, 0.0))) == ["vanishing_gradients"]
    assert codes(check_gradients(dict.fromkeys(norms, 1e6))) == ["exploding_gradients"]


def test_gradients_are_those_of_all_covers_at_once(images, labels):
    network = functional(relu_network(1.0))
    network.get_layer("conv").trainable = False
    loss = keras.losses.binary_crossentropy
    some, given = images[:18], labels[:18]  # The last part is smaller than the others.
    with tf.GradientTape() as tape:
        value = tf.reduce_mean(loss(given, network(some)))
    gradients = tape.gradient(value, [each.value for each in network.trainable_variables])
    norms = gradient_norms(network, loss, some, given)
    assert list(norms) == [each.path for each in network.trainable_variables]
    assert len(norms) == 4
    np.testing.assert_allclose(list(norms.values()), list(map(tf.norm, gradients)), rtol=1e-4)


def test_saturated_outputs(good):
    assert check_saturation(good) == []
    assert codes(check_saturation(np.round(good))) == ["saturated_outputs"]


@pytest.mark.parametrize(
    ("augmentation", "expected"),
    [
        ([], []),
        ([layers.RandomFlip("horizontal", seed=1), layers.RandomCrop(54, 54, seed=2)], []),
        ([layers.RandomZoom((0.4, 0.4), seed=1)], ["augmentation_shrinks_covers"]),
        ([layers.RandomZoom((-0.5, -0.5), seed=1)], ["augmentation_hides_covers"]),
        ([layers.RandomRotation((0.25, 0.25), seed=1)], ["augmentation_turns_covers"]),
        (
            [
                layers.RandomFlip("horizontal_and_vertical", seed=1),
                layers.RandomRotation(0.4, seed=2),
                layers.RandomZoom((0.2, 0.6), seed=3),
            ],
            ["augmentation_shrinks_covers", "augmentation_turns_covers"],
        ),
    ],
)
def test_what_an_augmentation_leaves_of_a_cover(augmentation, expected):
    assert codes(check_geometry(measure_geometry(augmentation, 64), 64)) == expected


def test_zooming_out_leaves_the_area_that_the_zoom_says():
    geometry = measure_geometry([layers.RandomZoom((0.5, 0.5), fill_mode="constant", seed=1)], 90)
    assert geometry.drawn_share == pytest.approx(1 / 1.5**2, abs=0.03)
    assert geometry.effective_side == pytest.approx(60, abs=2)
    assert geometry.upright_share == 1.0


def test_the_picture_of_an_augmentation_is_small(images, tmp_path):
    write_picture([layers.RandomFlip(seed=1)], images, tmp_path / "augmentation.jpg")
    assert 0 < (tmp_path / "augmentation.jpg").stat().st_size < 200_000


def test_the_range_test_tells_a_rate_that_is_too_high(images, labels):
    network = relu_network(0.1)
    batches = [(images, labels[:20])] * 60
    for rate, expected in ((1e-3, []), (50.0, ["learning_rate_too_high"])):
        network.compile(keras.optimizers.Adam(rate), "binary_crossentropy", jit_compile=False)
        found = range_test(network, batches, steps=60)
        assert found.configured == pytest.approx(rate)
        assert 1e-6 <= found.steepest <= 1.0
        if np.isfinite(found.highest):
            assert codes(check_learning_rate(found)) == expected


def test_a_network_that_does_not_fit_its_own_covers_underfits():
    epochs = _epochs(
        (0.52, 0.52, 0.53, 0.54),
        (0.515, 0.516, 0.56, 0.56),
        (0.513, 0.514, 0.57, 0.56),
        (0.512, 0.514, 0.575, 0.565),
        (0.512, 0.514, 0.57, 0.56),
    )
    (finding,) = check_fit(epochs, 5)
    assert finding.code == "underfitting"
    assert "0.575 even on train (best, epoch 4; 0.565 on eval)" in finding.sentence
    assert finding.numbers["last_loss"] == 0.512
    fitted = [{**row, "macro_roc_auc": row["macro_roc_auc"] + 0.2} for row in epochs]
    assert check_fit(fitted, 5) == []
    still_rising = [*epochs[:3], {**epochs[3], "val_macro_roc_auc": 0.6}]
    assert [each.code for each in check_fit(still_rising, 4)] == ["training_ended_early"]
    assert check_fit(epochs[:3], 5) == []


def drawn(probabilities: np.ndarray) -> np.ndarray:
    random = np.random.default_rng(5)
    return (random.random(probabilities.shape) < probabilities).astype(np.float32)


@pytest.mark.parametrize("covers", [20, 100, 400, 3000])
@pytest.mark.parametrize("seed", range(5))
def test_probabilities_that_come_true_are_not_mentioned(covers, seed):
    probabilities = np.random.default_rng(seed).beta(1, 3, (covers, 3))
    assert check_calibration(GENRES, drawn(probabilities), probabilities) == []


def test_overconfident_probabilities_are_named_with_their_error():
    right = np.random.default_rng(0).beta(1, 3, (1000, 3))
    labels = drawn(right)
    wrong = right.copy()
    wrong[:, 1] = np.where(right[:, 1] > 0.3, right[:, 1] ** 0.3, right[:, 1] ** 2)
    (finding,) = check_calibration(GENRES, labels, wrong)
    assert finding.code == "miscalibrated"
    assert "pop by 0." in finding.sentence and "rock by" not in finding.sentence
    assert finding.numbers["error_pop"] > 2 * finding.numbers["explained_by_chance_pop"]
    assert check_calibration(GENRES, labels[:0], wrong[:0]) == []
    assert check_calibration(GENRES, labels, np.full_like(wrong, np.nan)) == []
