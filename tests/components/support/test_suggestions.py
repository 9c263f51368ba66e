from __future__ import annotations

import pytest

from components.support.suggestions import closest, did_you_mean


@pytest.mark.parametrize(
    ("name", "meant"),
    [("epoch", "epochs"), ("relu", "ReLU"), ("conv2D", "Conv2D"), ("transformer", None)],
)
def test_the_closest_known_name_is_found_whatever_the_case(name: str, meant: str | None) -> None:
    assert closest(name, ["epochs", "batch_size", "ReLU", "Conv2D"]) == meant


def test_it_ends_a_message_or_adds_nothing() -> None:
    assert "No such layer." + did_you_mean("relu", ["ReLU"]) == "No such layer. Did you mean ReLU?"
    assert did_you_mean("x", ["ReLU"]) == ""
