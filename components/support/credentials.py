"""Keeps keys and passwords out of URLs.

A run notes where its data came from, in ML Metadata, logs, reports and compiled packages. So a URL
with a secret in it is refused where it enters, and no message repeats it.
"""

from __future__ import annotations

import re
from typing import Any

from components.support.errors import ConfigError

# Also after the name of an option, and behind fsspec's caches: --temp=simplecache::s3://bucket
_HOST = re.compile(r"\s*(?:--[\w-]+=)?(?:\w+::)*[A-Za-z][A-Za-z0-9+.-]*://(?P<host>[^/?#]*)")
_PORT_ONLY = re.compile(r"(?:\[[0-9A-Fa-f:.]*\]|[^:@]*)(?::[0-9]*)?")
_SIGNED = re.compile(
    r"[?&](?:x-(?:amz|goog)-(?:signature|credential|security-token)|signature|sig|token|"
    r"access_token|awsaccesskeyid|password|secret|key)=",
    re.IGNORECASE,
)

REFUSAL = (
    "Expected a URL without a key, password or signature. Received: one with some, which would end "
    "up in logs and reports. Give them in the environment, as AWS_ACCESS_KEY_ID and "
    "AWS_SECRET_ACCESS_KEY for s3://, and change those that were typed."
)


def has_credentials(location: str) -> bool:
    """Tells whether a URL holds a secret, such as `s3://KEY:SECRET@bucket/covers`."""
    found = _HOST.match(location)
    if not found:
        return False
    return not _PORT_ONLY.fullmatch(found["host"]) or bool(_SIGNED.search(location))


def refuse_credentials(location: str, option: str = "") -> None:
    """Raises on a URL that holds a secret, without repeating it.

    Args:
        location: a path, a URL or any text.
        option: where it was given, to be named.

    Raises:
        ConfigError: it does.
    """
    if has_credentials(location):
        raise ConfigError(f"{option}: {REFUSAL}" if option else REFUSAL)


def without_credentials(location: Any) -> Any:
    """Returns what an option gives for a location.

    Raises:
        ValueError: it is a URL that holds a secret.
    """
    if isinstance(location, str) and has_credentials(location):
        raise ValueError(REFUSAL)
    return location
