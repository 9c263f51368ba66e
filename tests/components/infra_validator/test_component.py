"""The node as TFX runs it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import tensorflow as tf
from tfx.types import standard_artifacts

from components.contracts import nodes
from components.contracts.decisions import read_decision
from components.contracts.files import serving_model, split_folder
from components.contracts.label_schema import IMAGE_ENCODED, LABEL, TEST_SPLIT
from components.contracts.predictions import CANDIDATE, OUTPUTS, output_feature
from components.contracts.serving_check import State, read_serving_check
from components.infra_validator import component
from components.infra_validator.component import InfraValidatorExecutor
from components.infra_validator.config import SESSION, InfraValidatorConfig
from components.support.errors import ConfigError, DamagedArtifact, MachineError
from tests.components.infra_validator.conftest import Good


def _artifacts(folder: Path, good: Good, blessed: int) -> dict[str, list[Any]]:
    types = {
        nodes.MODEL: standard_artifacts.Model,
        nodes.MODEL_BLESSING: standard_artifacts.ModelBlessing,
        nodes.EXAMPLES: standard_artifacts.Examples,
        nodes.PREDICTIONS: standard_artifacts.Examples,
    }
    artifacts = {}
    for key, artifact_type in types.items():
        artifact = artifact_type()
        artifact.uri = str(folder / key)
        artifacts[key] = [artifact]
    artifacts[nodes.MODEL_BLESSING][0].set_int_custom_property("blessed", blessed)
    serving_model(folder / nodes.MODEL).parent.mkdir(parents=True)
    serving_model(folder / nodes.MODEL).symlink_to(good.model)
    _write(folder / nodes.EXAMPLES, list(good.covers.examples), "")
    _write(folder / nodes.PREDICTIONS, list(map(_with_outputs(good), good.covers.examples)))
    return artifacts


def _with_outputs(good: Good) -> Any:
    """Returns what makes a prediction of an example, as BatchInference does."""

    def predicted(serialized: bytes) -> bytes:
        example = tf.train.Example.FromString(serialized)
        features = example.features.feature
        identity = features["image/id"].bytes_list.value[0].decode()
        place = good.predictions.ids.index(identity)
        del features[IMAGE_ENCODED]
        for name in (LABEL, *(output_feature(CANDIDATE, output) for output in OUTPUTS)):
            row = good.predictions.probabilities[place]
            features[name].float_list.value.extend(row.tolist())
        return bytes(example.SerializeToString())

    return predicted


def _write(folder: Path, records: list[bytes], compression: str = "GZIP") -> None:
    """Writes one file as TFX does, or as ingest does, which leaves images as they are."""
    target = split_folder(folder, TEST_SPLIT)
    target.mkdir(parents=True)
    file = target / ("covers.gz" if compression else "covers.tfrecord")
    with tf.io.TFRecordWriter(str(file), options=compression) as writer:
        for record in records:
            writer.write(record)


def _run(inputs: dict[str, list[Any]], folder: Path, **options: Any) -> Any:
    blessing = standard_artifacts.InfraBlessing()
    blessing.uri = str(folder / "blessing")
    properties = {"config": InfraValidatorConfig(loaders=(SESSION,), **options).model_dump_json()}
    InfraValidatorExecutor().Do(inputs, {nodes.BLESSING: [blessing]}, properties)
    return blessing


@pytest.mark.parametrize(("limit", "blessed"), [(None, 1), (1e-6, 0)])
def test_it_blesses_what_passes_and_only_that(
    good: Good, tmp_path: Path, limit: float | None, blessed: int
) -> None:
    blessing = _run(_artifacts(tmp_path, good, 1), tmp_path, requests=3, max_latency_ms=limit)
    assert blessing.get_int_custom_property("blessed") == blessed
    found, decision = read_serving_check(blessing.uri), read_decision(blessing.uri)
    assert found.state is (State.PASSED if blessed else State.REFUSED)
    assert found.covers == 3
    assert decision.gate == nodes.INFRA_VALIDATOR
    assert decision.passed == bool(blessed)


def test_a_check_that_the_machine_ends_leaves_no_verdict(good: Good, tmp_path: Path) -> None:
    """Neither the cache nor the next task may take it for a refusal."""
    with pytest.raises(MachineError, match=r"within 0\.001 s"):
        _run(_artifacts(tmp_path, good, 1), tmp_path, max_seconds=1e-3)
    assert not (tmp_path / "blessing").exists()


def test_a_model_that_the_evaluation_refused_is_not_loaded(
    good: Good, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(component, "check_model", None)
    blessing = _run(_artifacts(tmp_path, good, 0), tmp_path)
    assert blessing.get_int_custom_property("blessed") == 0
    assert read_serving_check(blessing.uri).state is State.NOT_CHECKED
    assert read_decision(blessing.uri).passed  # it is refused already, once


def test_covers_without_predictions_are_a_fault_of_the_run(good: Good, tmp_path: Path) -> None:
    inputs = _artifacts(tmp_path, good, 1)
    (file,) = split_folder(tmp_path / nodes.PREDICTIONS, TEST_SPLIT).iterdir()
    file.unlink()
    file.parent.rmdir()
    _write(tmp_path / nodes.PREDICTIONS, [_with_outputs(good)(good.covers.examples[0])])
    with pytest.raises(DamagedArtifact, match="none for 4 of 5, such as cover 1"):
        _run(inputs, tmp_path)


def test_options_that_are_wrong_are_named() -> None:
    with pytest.raises(ConfigError, match=r"infra_validator.max_latency_ms: Expected a value gre"):
        InfraValidatorConfig.from_fields({"max_latency_ms": 0})
    with pytest.raises(ConfigError, match=r"each loader once\. Received: session, session"):
        InfraValidatorConfig.from_fields({"loaders": ["session", "session"]})
    options = InfraValidatorConfig.from_fields({"max_memory_mb": None})
    assert json.loads(options.model_dump_json())["max_memory_mb"] is None
