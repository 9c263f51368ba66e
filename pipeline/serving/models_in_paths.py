"""Which model a URL names."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from fastapi import Depends

from pipeline.serving.engine import Engine
from pipeline.serving.errors import not_found
from pipeline.serving.model import ServedModel

VERSION = "/versions/{version}"


def models_in_paths(engine: Engine, path: str) -> Iterator[tuple[str, Any]]:
    """Yields a path without and with a version, each with the dependency on the model it names.

    Args:
        engine: has the model.
        path: with `{name}` in it.
    """

    async def newest(name: str) -> ServedModel:
        return served_model(engine, name)

    async def numbered(name: str, version: str) -> ServedModel:
        return served_model(engine, name, version)

    yield path, Depends(newest)
    yield path + VERSION, Depends(numbered)


def served_model(engine: Engine, name: str, version: str | None = None) -> ServedModel:
    """Returns the model of a name and a version; None stands for the one that is served.

    Raises:
        Refused: it is another, or none is loaded.
    """
    if name != engine.settings.name:
        raise not_found(f"the model {engine.settings.name}", repr(name))
    model = engine.model()
    if version is not None and version != str(model.version):
        raise not_found(f"version {model.version}, which is served", repr(version))
    return model
