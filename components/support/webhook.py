"""Posts JSON to a web hook. Its URL may be a secret, so no log and no message repeats it."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

if TYPE_CHECKING:
    from requests import PreparedRequest

_AGAIN = (429, 500, 502, 503, 504)
_CHATTY = ("urllib3.connectionpool", "urllib3.util.retry")


def post_json(
    url: str,
    payload: Mapping[str, Any],
    *,
    token: str = "",
    timeout: float = 10.0,
    attempts: int = 4,
    backoff: float = 1.0,
) -> str:
    """Posts once; again, with growing pauses, if there is no answer or a passing trouble.

    A redirect is not followed: the answer comes from the URL that was given, or not at all.

    Args:
        url: of the web hook.
        payload: the JSON object.
        token: a bearer token, or an empty text.
        timeout: seconds to wait for a connection and then for an answer, in each attempt.
        attempts: most attempts.
        backoff: seconds before the third attempt; each later pause is twice as long.

    Returns:
        An empty text, or what went wrong in one sentence that names no more than the host.
    """
    host = _host(url)
    if not host:
        return "Expected a web hook's URL that begins with http:// or https://. Received: another."
    import requests
    from requests.adapters import HTTPAdapter
    from urllib3.util import Retry

    retry = Retry(
        total=attempts - 1,
        allowed_methods=None,
        status_forcelist=_AGAIN,
        backoff_factor=backoff,
        raise_on_status=False,
        respect_retry_after_header=False,
    )
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    with _nothing_logged(), requests.Session() as session:
        session.mount(f"{urlsplit(url).scheme}://", HTTPAdapter(max_retries=retry))
        try:
            with session.post(
                url,
                json=payload,
                headers=headers,
                auth=_as_it_is,
                timeout=timeout,
                allow_redirects=False,
                stream=True,  # what it says is not read
            ) as answer:
                return _problem(host, answer.status_code)
        except requests.exceptions.RequestException as error:
            what = _in_words(error, timeout)
            return f"Expected {host} to take the notification. Received: {what}."


def _as_it_is(request: PreparedRequest) -> PreparedRequest:
    """Sends no other credentials: without `auth`, requests takes those in ~/.netrc."""
    return request


def _host(url: str) -> str:
    try:
        parts = urlsplit(url)
        return (parts.hostname or "") if parts.scheme in ("http", "https") else ""
    except ValueError:
        return ""


def _problem(host: str, status: int) -> str:
    if 200 <= status < 300:
        return ""
    hint = " Give the URL that it leads to." if 300 <= status < 400 else ""
    return f"Expected {host} to take the notification. Received: status {status}.{hint}"


def _in_words(error: Exception, timeout: float) -> str:
    """Says what kind of error it is; its own message has the URL."""
    from requests import exceptions
    from urllib3.exceptions import (
        ConnectTimeoutError,
        MaxRetryError,
        NewConnectionError,
        ReadTimeoutError,
    )

    cause = error.args[0] if error.args else None
    reason = cause.reason if isinstance(cause, MaxRetryError) else cause
    # For urllib3 a refused connection is a time-out as well.
    waited = isinstance(reason, ConnectTimeoutError) and not isinstance(reason, NewConnectionError)
    if isinstance(error, exceptions.SSLError):
        return "no TLS, or a certificate that is not trusted"
    if waited or isinstance(reason, ReadTimeoutError) or isinstance(error, exceptions.Timeout):
        return f"no answer within {timeout:g} s"
    if isinstance(error, exceptions.ConnectionError):
        return "no connection"
    return type(error).__name__


@contextlib.contextmanager
def _nothing_logged() -> Iterator[None]:
    """Silences the loggers that write the path of every request that they repeat."""
    loggers = [logging.getLogger(name) for name in _CHATTY]
    before = [logger.disabled for logger in loggers]
    for logger in loggers:
        logger.disabled = True
    try:
        yield
    finally:
        for logger, disabled in zip(loggers, before, strict=True):
            logger.disabled = disabled
