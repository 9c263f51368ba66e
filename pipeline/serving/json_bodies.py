"""JSON in and out."""

from __future__ import annotations

import base64
import binascii
import json
from typing import Any

from starlette.responses import Response

from pipeline.serving.errors import malformed

BASE64_KEY = "b64"


class JsonAnswer(Response):
    """An answer in ASCII, in which no control character survives."""

    media_type = "application/json"

    def render(self, content: Any) -> bytes:
        return json.dumps(content, allow_nan=False, separators=(", ", ": ")).encode("ascii")


def json_object(body: bytes) -> dict[str, Any]:
    """Reads a body that is one JSON object.

    Raises:
        Refused: it is not.
    """
    try:
        found = json.loads(body)
    except (ValueError, RecursionError) as error:
        raise malformed("a body of JSON", _why(error)) from error
    if not isinstance(found, dict):
        raise malformed("one JSON object", f"JSON's {_kind(found)}")
    return found


def decode_base64(value: Any, where: str) -> bytes:
    """Returns the bytes that a text stands for.

    Raises:
        Refused: it is no text, or not base64.
    """
    if not isinstance(value, str):
        raise malformed(f"base64 text in {where}", f"JSON's {_kind(value)}")
    try:
        return base64.b64decode(value, validate=True)
    except (binascii.Error, ValueError) as error:
        raise malformed(f"base64 text in {where}", _why(error)) from error


def _why(error: Exception) -> str:
    if isinstance(error, UnicodeDecodeError):
        return "bytes that are not UTF-8"
    return "too many brackets in brackets" if isinstance(error, RecursionError) else str(error)


def _kind(value: Any) -> str:
    if value is None:
        return "null"
    kinds = {bool: "true or false", str: "text", list: "list", dict: "object"}
    return kinds.get(type(value), "number")
