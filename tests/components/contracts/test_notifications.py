from __future__ import annotations

import json
import os
from collections.abc import Iterator

import pytest

from components.contracts.notices import Notice
from components.contracts.notifications import NotificationsConfig, notify
from components.contracts.outcome import Outcome
from components.support.errors import ConfigError
from tests.web_hooks import SECRET, Hook, listening

REFUSED = Notice(
    "covers", "run-7", Outcome.NOT_BLESSED, ("rock: roc_auc 0.4.",), report="s3://b/report"
)


@pytest.fixture
def hook() -> Iterator[Hook]:
    with listening() as hook:
        yield hook


def test_a_push_says_which_version(hook: Hook) -> None:
    pushed = Notice("covers", "run-7", Outcome.PUSHED, pushed_to="s3://b/serving/17", report="r")
    assert notify(NotificationsConfig(url=hook.url.partition("?")[0]), pushed) == (
        "Notified the web hook."
    )
    ((_, payload),) = hook.received
    assert payload == {
        "format_version": 1,
        "text": "covers, run run-7: pushed to s3://b/serving/17",
        "pipeline": "covers",
        "run_id": "run-7",
        "outcome": "pushed",
        "exit_code": 0,
        "version": "17",
        "pushed_to": "s3://b/serving/17",
        "reasons": [],
        "report": "r",
    }


def test_a_refusal_says_why(hook: Hook) -> None:
    config = NotificationsConfig(url_variable="HOOK", token_variable="TOKEN")
    environment = {"HOOK": f"{hook.url}\n", "TOKEN": SECRET}
    assert notify(config, REFUSED, environment) == "Notified the web hook."
    ((headers, payload),) = hook.received
    assert headers["Authorization"] == f"Bearer {SECRET}"
    assert payload["text"] == "covers, run run-7: refused: not pushed. rock: roc_auc 0.4."
    assert payload["reasons"] == ["rock: roc_auc 0.4."]
    assert payload["exit_code"] == 4


def test_every_end_of_a_run_has_words() -> None:
    texts = {Notice("covers", "", outcome).to_payload()["text"] for outcome in Outcome}
    assert len(texts) == len(Outcome)


def test_many_long_reasons_are_bounded() -> None:
    notice = Notice("covers", "", Outcome.DATA_STOPPED, ("x" * 100_000,) * 3_000)
    payload = notice.to_payload()
    assert payload["reasons"][-1] == "and 2,980 more; see the report"
    assert len(json.dumps(payload)) < 20_000


def test_only_the_events_that_were_asked_for_are_told(hook: Hook) -> None:
    config = NotificationsConfig(url_variable="HOOK", events=(Outcome.PUSHED,))
    assert notify(config, REFUSED, {"HOOK": hook.url}) == ""
    assert notify(NotificationsConfig(), REFUSED) == ""
    assert hook.received == []


@pytest.mark.parametrize("environment", [{}, {"HOOK": " "}])
def test_a_variable_that_is_not_set_is_named(environment: dict[str, str]) -> None:
    line = notify(NotificationsConfig(url_variable="HOOK"), REFUSED, environment)
    assert line.startswith("Not notified: Expected the environment variable HOOK")


def test_what_nobody_foresaw_is_said_without_the_url(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(url: str, payload: object, **options: object) -> str:
        raise RuntimeError(url)

    monkeypatch.setattr("components.contracts.notifications.post_json", fail)
    line = notify(NotificationsConfig(url_variable="HOOK"), REFUSED, {**os.environ, "HOOK": SECRET})
    assert line == "Not notified: Unexpected RuntimeError."


@pytest.mark.parametrize(
    "fields",
    [
        {"url": f"https://user:{SECRET}@host/hook"},
        {"url": f"https://host/hook?token={SECRET}"},
        {"url": SECRET},
        {"url": "https://host", "url_variable": "HOOK"},
        {"url_variable": f"https://host/{SECRET}"},
        {"events": ["won"]},
        {"attempts": 0},
        {"uri": "https://host"},
    ],
)
def test_wrong_options_are_refused(fields: dict[str, object]) -> None:
    with pytest.raises(ConfigError, match="Expected") as error:
        NotificationsConfig.from_fields(fields)
    if "url_variable" not in fields:
        assert SECRET not in str(error.value)
