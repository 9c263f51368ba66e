"""Descriptions of bodies that the server reads by itself, for /openapi.json."""

from __future__ import annotations

from typing import Any

EXAMPLE_BASE64 = "/9j/4AAQSkZJRgABAQAAAQABAAD..."

_JSON = "application/json"
_ERRORS = {
    400: "The request is not what the protocol says, or an image cannot be read",
    404: "Another model or version than the one that is served",
    408: "The body took too long to arrive",
    413: "The body is too large, or has too many images",
    503: "No model is loaded yet, or there is too much to do; see Retry-After",
    504: "It took too long",
}


def described(content: dict[str, Any], answer: dict[str, Any]) -> dict[str, Any]:
    """Returns what FastAPI is to add to the description of a route that reads its own body.

    Args:
        content: media type -> its description.
        answer: an example of a good answer.
    """
    good = {"description": "The answer", "content": {_JSON: {"example": answer}}}
    errors = {str(code): {"description": text, **_error_body()} for code, text in _ERRORS.items()}
    body = {"required": True, "content": content}
    return {"requestBody": body, "responses": {"200": good, **errors}}


def examples_of_predict(examples: dict[str, Any]) -> dict[str, Any]:
    """Returns the description of a JSON body by examples, name -> body."""
    listed = {name: {"value": value} for name, value in examples.items()}
    return {_JSON: {"schema": {"type": "object"}, "examples": listed}}


def _error_body() -> dict[str, Any]:
    schema = {
        "type": "object",
        "properties": {"error": {"type": "string"}},
        "example": {"error": "Expected at least one image. Received: none."},
    }
    return {"content": {_JSON: {"schema": schema}}}
