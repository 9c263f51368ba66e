"""Diagnoses training while it runs, and warns while there is still time."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from components.contracts.diagnosis import AUGMENTATION_PICTURE, Finding
from components.contracts.nodes import TRAINER
from components.support import progress
from components.trainer.config import TrainerConfig
from components.trainer.diagnostics.augmentation import (
    check_geometry,
    measure_geometry,
    write_picture,
)
from components.trainer.diagnostics.history import check_fit, check_history
from components.trainer.diagnostics.network import (
    check_activity,
    check_gradients,
    check_saturation,
    gradient_norms,
    layer_activity,
)
from components.trainer.diagnostics.predictions import check_class_imbalance, check_mute
from components.trainer.model import make_augmentation
from components.trainer.state import TrainingState
from components.trainer.thresholds import decision_rule

_COVERS = 64


class Diagnostics(keras.callbacks.Callback):
    """Checks labels and augmentation before the first epoch, the network after some of them.

    After epochs 1, 2, 4, 8 and so on, and after the last, so that the cost, a few covers through
    the network each time, stays small. A new finding is reported as a warning. Nothing here
    changes the model or draws from its random generators.

    Args:
        images: uint8, shape (covers, size, size, 3): covers of the eval split.
        labels: float32, shape (covers, genres): their labels.
        train_labels: float32, shape (examples, genres).
        genres: genre names.
        config: threshold, augmentation and epochs.
        state: the training's state; its history is up to date when an epoch ends. Takes the
            findings, one of each code, the latest.
        folder: where the picture of the augmentation goes.
    """

    def __init__(
        self,
        images: np.ndarray,
        labels: np.ndarray,
        train_labels: np.ndarray,
        genres: tuple[str, ...],
        config: TrainerConfig,
        state: TrainingState,
        folder: Path,
    ) -> None:
        super().__init__()
        self.images = images
        self.labels = labels
        self.train_labels = train_labels
        self.genres = genres
        self.config = config
        self.state = state
        self.folder = folder
        self.warned: set[str] = set()

    def check_inputs(self) -> None:
        """Checks labels and augmentation; not left to `fit`, which may have nothing to do.

        Warns of what was found before a kill, too.
        """
        for finding in self.state.findings.values():
            self._warn(finding)
        self._add(check_class_imbalance(self.genres, self.train_labels), epoch=None)
        if self.config.augmentation:
            layers = make_augmentation(self.config)
            size = self.config.image_size
            self._add(check_geometry(measure_geometry(layers, size), size), epoch=None)
            write_picture(layers, self.images, self.folder / AUGMENTATION_PICTURE)

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        number = epoch + 1
        if number & (number - 1) and number != self.config.epochs and not self.state.is_over:
            return
        network = self.model.network
        probabilities = np.asarray(network(self.images, training=False))
        findings = [
            *check_activity(layer_activity(network, self.images)),
            *check_saturation(probabilities),
            *check_gradients(gradient_norms(network, self.model.loss, self.images, self.labels)),
            *check_fit(self.state.epochs, self.config.epochs),
        ]
        if isinstance(self.config.decision_thresholds, float):
            rule = decision_rule(self.config, self.labels, probabilities)
            findings += check_mute(self.labels, probabilities, rule)
            findings += check_history(self.state.epochs)
        # What an earlier epoch showed and this one does not no longer applies.
        kept = {code: each for code, each in self.state.findings.items() if each.epoch is None}
        self.state.findings = kept
        self._add(findings, number)

    def _add(self, findings: list[Finding], epoch: int | None) -> None:
        for finding in findings:
            self._warn(finding)
            self.state.findings[finding.code] = dataclasses.replace(finding, epoch=epoch)

    def _warn(self, finding: Finding) -> None:
        if finding.severity == "warning" and finding.code not in self.warned:
            self.warned.add(finding.code)
            progress.warn(TRAINER, finding.sentence)


def first_covers(batches: tf.data.Dataset, count: int = _COVERS) -> tuple[np.ndarray, np.ndarray]:
    """Returns the first covers of a data set and their labels, as arrays."""
    pairs = batches.unbatch().take(count).batch(count)
    images, labels = next(iter(pairs))
    return images.numpy(), labels.numpy()
