"""Notifications of how runs end, by web hook: the options, and the sending."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Annotated

from pydantic import Field, field_validator, model_validator
from typing_extensions import Self

from components.contracts.notices import Notice
from components.contracts.outcome import Outcome
from components.support.credentials import has_credentials
from components.support.options import Options
from components.support.webhook import post_json

_NAME = r"^[A-Za-z_][A-Za-z0-9_]*$"
_VARIABLE = Annotated[str, Field(pattern=_NAME)]
_EXPECTED_URL = (
    "Expected a URL that begins with http:// or https:// and holds no key, password or signature. "
    "Received: another. Whoever has the URL of a chat can write there: name the environment "
    "variable that holds it in url_variable"
)


class NotificationsConfig(Options):
    """Who is told how a run ended; nobody, unless there is a URL.

    Attributes:
        url: of the web hook, in local runs only; it is kept in their reports. Null if
            `url_variable` is given.
        url_variable: the environment variable that holds the URL, which is nowhere else.
        token_variable: the environment variable that holds a bearer token; null sends none.
        events: the ends of runs that are told.
        timeout: seconds to wait for an answer, in each attempt.
        attempts: most attempts.
    """

    SECTION = "notifications"

    url: str | None = None
    url_variable: _VARIABLE | None = None
    token_variable: _VARIABLE | None = None
    events: tuple[Outcome, ...] = (
        Outcome.PUSHED,
        Outcome.NOT_BLESSED,
        Outcome.DATA_STOPPED,
        Outcome.MISCONFIGURED,
        Outcome.FAILED,
    )
    timeout: float = Field(default=10.0, gt=0, le=60)
    attempts: int = Field(default=4, ge=1, le=10)

    @field_validator("url")
    @classmethod
    def _check_url(cls, url: str | None) -> str | None:
        if url is not None and (
            not url.startswith(("http://", "https://")) or has_credentials(url)
        ):
            raise ValueError(_EXPECTED_URL)
        return url

    @model_validator(mode="after")
    def _check_one_url(self) -> Self:
        if self.url and self.url_variable:
            raise ValueError("Expected one of url and url_variable. Received: both")
        return self

    @property
    def is_on(self) -> bool:
        """Whether anybody is told."""
        return bool(self.url or self.url_variable)


def notify(
    config: NotificationsConfig, notice: Notice, environment: Mapping[str, str] = os.environ
) -> str:
    """Tells the web hook, if it is to know; never raises, and never names the URL.

    Args:
        config: whom to tell, and of what.
        notice: how the run ended.
        environment: where variables are looked up.

    Returns:
        What was done in one line, or an empty text if there was nothing to do.
    """
    if not config.is_on or notice.outcome not in config.events:
        return ""
    secrets = {}
    for option in ("url_variable", "token_variable"):
        variable = getattr(config, option)
        secrets[option] = environment.get(variable, "").strip() if variable else ""
        if variable and not secrets[option]:
            return (
                f"Not notified: Expected the environment variable {variable}, which "
                f"notifications.{option} names. Received: none."
            )
    try:
        problem = post_json(
            config.url or secrets["url_variable"],
            notice.to_payload(),
            token=secrets["token_variable"],
            timeout=config.timeout,
            attempts=config.attempts,
        )
    except Exception as error:  # the run has ended, and its outcome stands
        problem = f"Unexpected {type(error).__name__}."
    return f"Not notified: {problem}" if problem else "Notified the web hook."
