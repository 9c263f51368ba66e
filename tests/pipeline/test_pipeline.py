from __future__ import annotations

from typing import Any

import pytest

from components.contracts import nodes
from pipeline.config import load_config

NAMES = {value for name, value in vars(nodes).items() if name.isupper() and isinstance(value, str)}
NODES = {name for name in NAMES if name[0].isupper()}
PROPERTIES = {
    nodes.BLESSED,
    nodes.PUSHED,
    nodes.PUSHED_DESTINATION,
    nodes.PUSHED_VERSION,
    nodes.STORED_AS,
}


@pytest.fixture(scope="module")
def components() -> list[Any]:
    """The nodes of a pipeline that has all of them."""
    from pipeline.pipeline import RunInputs, create_pipeline
    from pipeline.runner.fingerprints import fingerprint_components

    config = load_config("sample", ["tuner={trials: 1}"])
    inputs = RunInputs(
        beam_args=(),
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


def test_the_nodes_that_the_contract_names_are_there(components: list[Any]) -> None:
    assert NODES
    assert {node.id for node in components} >= NODES


def test_nodes_have_the_keys_that_the_contract_names(components: list[Any]) -> None:
    keys = {key for node in components for key in [*node.inputs, *node.outputs]}
    keys |= {key for node in components for key in node.spec.PARAMETERS}
    assert keys >= NAMES - NODES - PROPERTIES
