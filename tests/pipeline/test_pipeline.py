from __future__ import annotations

from typing import Any

import pytest

from components.contracts import nodes
from pipeline.config import load_config

NODES = {
    nodes.LABEL_SCHEMA_GEN,
    nodes.COVER_EXAMPLE_GEN,
    nodes.STATISTICS_GEN,
    nodes.EXAMPLE_VALIDATOR,
    nodes.DATA_GATE,
    nodes.TUNER,
    nodes.TRAINER,
    nodes.BASELINE_MODEL_NODE,
    nodes.BATCH_INFERENCE,
    nodes.EVALUATOR,
    nodes.PUSHER,
    nodes.REPORT_GEN,
}
PROPERTIES = {nodes.PUSHED, nodes.PUSHED_DESTINATION, nodes.PUSHED_VERSION}
# TFX's own, which nothing of this project names.
KEYS_OF_TFX = {"base_model", "hyperparameters", "tuner_results"}


@pytest.fixture(scope="module")
def components() -> list[Any]:
    """The nodes of a pipeline that has all of them."""
    from pipeline.pipeline import RunInputs, create_pipeline
    from pipeline.runner.fingerprints import fingerprint_components

    config = load_config("sample", ["tuner={trials: 1}"])
    inputs = RunInputs(
        pipeline_root="root",
        push_destination="serving",
        data="covers",
        data_fingerprint="",
        schema_text=config.schema_text(),
        training={},
        tuning={},
        code_fingerprints=fingerprint_components(),
    )
    return list(create_pipeline(config, inputs).components)


def test_nodes_are_named_as_the_contract_says(components: list[Any]) -> None:
    assert {node.id for node in components} == NODES


def test_artifacts_have_the_keys_that_the_contract_names(components: list[Any]) -> None:
    keys = {key for node in components for key in [*node.inputs, *node.outputs]}
    named = {value for name, value in vars(nodes).items() if name.isupper()}
    assert keys - KEYS_OF_TFX == named - NODES - PROPERTIES
