"""Options that are given on the command line as texts: `--set KEY=VALUE`."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path
from typing import Any

import yaml

from components.support.credentials import refuse_credentials
from components.support.errors import ConfigError
from components.support.file_systems import is_url
from components.support.texts import shortened
from pipeline.bounded_yaml import parse_yaml


def set_option(values: dict[str, Any], override: str, *, paths: Collection[str] = ()) -> None:
    """Sets one `key.subkey=value` in nested mappings; the value is YAML.

    Args:
        values: the mappings; changed.
        override: the text.
        paths: keys of files and folders, which become absolute unless they are URLs.

    Raises:
        ConfigError: the text does not have this form, or holds a key or password.
    """
    key, equals, text = override.partition("=")
    refuse_credentials(key)
    refuse_credentials(text, key.strip())
    parts = key.strip().split(".")
    if not equals or not all(parts):
        raise ConfigError(
            f"Expected --set KEY=VALUE, such as trainer.epochs=5. Received: {override!r}."
        )
    try:
        value = parse_yaml(text)
    except yaml.YAMLError as error:
        problem = getattr(error, "problem", None) or type(error).__name__
        raise ConfigError(
            f"Expected a YAML value for {key}. Received: {shortened(repr(text))} ({problem})."
        ) from error
    if key in paths and isinstance(value, str) and not is_url(value):
        value = Path(value).resolve()
    target = values
    for part in parts[:-1]:
        child = target.get(part)
        if not isinstance(child, dict):
            child = target[part] = {}
        target = child
    target[parts[-1]] = value
