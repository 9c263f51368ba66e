"""What a client is told when a request cannot be answered."""

from __future__ import annotations

from collections.abc import Mapping


class Refused(Exception):
    """A request that gets an error instead of an answer.

    Attributes:
        status: HTTP status.
        reason: one of a few words, counted in the metrics.
        headers: further headers of the answer.
    """

    def __init__(
        self, status: int, reason: str, message: str, headers: Mapping[str, str] | None = None
    ) -> None:
        super().__init__(message)
        self.status = status
        self.reason = reason
        self.headers = dict(headers or {})


def malformed(expected: str, received: str) -> Refused:
    """Returns the error for a request that is not what the protocol says."""
    return Refused(400, "malformed", f"Expected {expected}. Received: {received}.")


def not_found(expected: str, received: str) -> Refused:
    """Returns the error for a model, version or path that is not served."""
    return Refused(404, "not_found", f"Expected {expected}. Received: {received}.")


def too_many(received: str) -> Refused:
    """Returns the error for a request that comes while there is too much to do."""
    return Refused(
        503,
        "overloaded",
        f"Expected fewer requests at a time. Received: {received}. Send it again in a second.",
        {"Retry-After": "1"},
    )


def no_model() -> Refused:
    """Returns the error for a request that comes before a model is loaded."""
    return Refused(
        503,
        "no_model",
        "Expected a model that is loaded. Received: none yet. Wait until /readyz answers 200.",
        {"Retry-After": "5"},
    )
