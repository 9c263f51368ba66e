"""What becomes of a value on its way through the open-source back end.

Each function does what a place in kubeflow/pipelines does (at 7b70c7b95f, 2.17.0; the paths are
below backend/src). Values are JSON's.
"""

from __future__ import annotations

import json
import math
from typing import Any

_KIND_OF_TYPE = {
    "STRING": "string",
    "NUMBER_INTEGER": "number",
    "NUMBER_DOUBLE": "number",
    "BOOLEAN": "bool",
    "LIST": "list",
    "STRUCT": "struct",
}
_LARGEST_PLAIN = 1e21


class Rejected(Exception):
    """The API server, the driver or the launcher does not take it."""


def parameter_of_run(name: str, value: Any, declared: str) -> Any:
    """Returns a run's parameter, which must be of the declared kind, text included.

    apiserver/template/v2_template.go, validatePipelineJobInputs.
    """
    if _kind(value) != _KIND_OF_TYPE[declared]:
        raise Rejected(
            f"input parameter {name} requires type {declared}, but the parameter value is a "
            f"{_kind(value)}"
        )
    return as_json(value)


def parameter_of_task(name: str, value: Any, declared: str) -> Any:
    """Returns a task's parameter: whatever is declared as text becomes text.

    v2/driver/resolve.go, handleParamTypeValidationAndConversion.
    """
    if declared == "STRING":
        return as_text(value)
    if value is None:
        raise Rejected(f'got null for input parameter "{name}"')
    if _kind(value) != _KIND_OF_TYPE[declared]:
        raise Rejected(
            f'input parameter "{name}" type mismatch: expect {declared}, got {_kind(value)}'
        )
    return as_json(value)


def output_parameter(text: str, declared: str) -> Any:
    """Returns the value of an output parameter that a container wrote to its file.

    v2/metadata/converter.go, TextToPbValue.
    """
    try:
        if declared == "STRING":
            return text
        if declared == "BOOLEAN":
            return {"1": True, "t": True, "true": True, "0": False, "f": False, "false": False}[
                text.strip().lower()
            ]
        if declared in ("NUMBER_INTEGER", "NUMBER_DOUBLE"):
            number = int if declared == "NUMBER_INTEGER" else float
            return as_json(number(text.strip()))
        return parameter_of_task("", json.loads(text), declared)
    except (KeyError, ValueError, Rejected) as error:
        raise Rejected(f"TextToPbValue(text={text!r}, type={declared!r}) failed") from error


def property_of_artifact(value: Any) -> Any:
    """Returns one of an artifact's metadata as ML Metadata returns it.

    v2/metadata/converter.go, StructValueToMLMDValue and toRuntimeArtifact.
    """
    if value is None:
        raise Rejected("unknown/unsupported value type *structpb.Value_NullValue")
    if isinstance(value, bool):
        return int(value)
    if isinstance(value, list):
        return {"list": as_json(value)}
    if isinstance(value, dict):
        return {"struct": as_json(value)}
    return as_json(value)


def as_text(value: Any) -> str:
    """Returns a value as the text that takes its place in a command.

    v2/metadata/converter.go, PbValueToText.
    """
    if isinstance(value, str):
        return value
    return "" if value is None else json.dumps(as_json(value))


def as_json(value: Any) -> Any:
    """Returns a value after a passage through protobuf's `Value`, whose numbers are all doubles.

    Its JSON shows a whole number without a fraction, and cannot show those that are no number.
    """
    if isinstance(value, list):
        return [as_json(item) for item in value]
    if isinstance(value, dict):
        return {key: as_json(item) for key, item in value.items()}
    if isinstance(value, bool) or not isinstance(value, int | float):
        return value
    number = float(value)
    if not math.isfinite(number):
        raise Rejected("google.protobuf.Value cannot have Inf or NaN")
    return int(number) if number.is_integer() and abs(number) < _LARGEST_PLAIN else number


def _kind(value: Any) -> str:
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "bool"
    if isinstance(value, int | float):
        return "number"
    return {str: "string", list: "list", dict: "struct"}[type(value)]
