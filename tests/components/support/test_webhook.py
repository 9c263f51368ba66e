"""Posting to a web hook: a server on this machine, and hosts that do not answer."""

from __future__ import annotations

import logging
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from components.support.webhook import post_json
from tests.web_hooks import SECRET, Hook, listening

PAYLOAD = {"text": "pushed", "reasons": ["größer"]}


@pytest.fixture
def hook() -> Iterator[Hook]:
    with listening() as hook:
        yield hook


@pytest.fixture(autouse=True)
def nothing_secret(
    caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> Iterator[None]:
    """In no test does the URL's path appear in a log, whatever level is on."""
    with caplog.at_level(logging.DEBUG):
        yield
    out, err = capfd.readouterr()
    assert SECRET not in caplog.text + out + err
    assert not logging.getLogger("urllib3.connectionpool").disabled


def _post(url: str, **options: Any) -> str:
    problem = post_json(url, PAYLOAD, **{"timeout": 5.0, "backoff": 0.01, **options})
    assert SECRET not in problem
    return problem


def test_the_payload_is_posted_once_as_json(hook: Hook) -> None:
    assert _post(hook.url) == ""
    ((headers, payload),) = hook.received
    assert payload == PAYLOAD
    assert headers["Content-Type"] == "application/json"
    assert "Authorization" not in headers


def test_a_token_is_sent_and_not_said(hook: Hook) -> None:
    hook.statuses = [403]
    assert "status 403" in _post(hook.url, token=SECRET)
    assert hook.received[0][0]["Authorization"] == f"Bearer {SECRET}"


@pytest.mark.parametrize("token", ["", SECRET])
@pytest.mark.parametrize("entry", ["machine 127.0.0.1", "default"])
def test_no_other_credentials_of_the_user_are_sent(
    hook: Hook, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, entry: str, token: str
) -> None:
    """Those in ~/.netrc, which curl and requests take for whatever is asked of the host."""
    netrc = tmp_path / "netrc"
    netrc.write_text(f"{entry} login somebody password {SECRET}\n")
    monkeypatch.setenv("NETRC", str(netrc))
    assert _post(hook.url, token=token) == ""
    sent = hook.received[0][0].get("Authorization")
    assert sent == (f"Bearer {token}" if token else None)


def test_the_proxy_of_the_environment_is_used(hook: Hook, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("http_proxy", hook.url.rpartition("/")[0])
    monkeypatch.setenv("no_proxy", "")
    assert _post(f"http://nowhere.invalid/{SECRET}", token=SECRET) == ""
    assert hook.received[0][0]["Host"] == "nowhere.invalid"
    assert hook.received[0][0]["Authorization"] == f"Bearer {SECRET}"


@pytest.mark.parametrize("status", [429, 500, 502, 503, 504])
def test_a_passing_trouble_is_tried_again(hook: Hook, status: int) -> None:
    hook.statuses = [status, status, 204]
    assert _post(hook.url) == ""
    assert len(hook.received) == 3


def test_a_trouble_that_stays_is_said_after_the_last_attempt(hook: Hook) -> None:
    hook.statuses = [503]
    expected = "Expected 127.0.0.1 to take the notification. Received: status 503."
    assert _post(hook.url, attempts=3) == expected
    assert len(hook.received) == 3


@pytest.mark.parametrize("status", [400, 401, 404, 410])
def test_a_refusal_is_said_at_once(hook: Hook, status: int) -> None:
    hook.statuses = [status]
    assert f"Received: status {status}." in _post(hook.url)
    assert len(hook.received) == 1


@pytest.mark.parametrize("status", [301, 302, 307, 308])
def test_a_redirect_is_not_followed(hook: Hook, status: int) -> None:
    hook.statuses = [status, 200]
    assert f"status {status}. Give the URL that it leads to." in _post(hook.url, token=SECRET)
    assert len(hook.received) == 1


def test_a_server_that_does_not_answer(hook: Hook) -> None:
    hook.seconds = 30.0
    assert "no answer within 0.2 s" in _post(hook.url, timeout=0.2, attempts=2)


def test_a_port_where_nobody_listens() -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        port = unused.getsockname()[1]
    problem = _post(f"http://127.0.0.1:{port}/{SECRET}", attempts=2)
    assert problem == "Expected 127.0.0.1 to take the notification. Received: no connection."


def test_a_host_that_does_not_exist() -> None:
    problem = _post(f"http://nowhere.invalid/{SECRET}", attempts=1)
    assert problem.startswith("Expected nowhere.invalid to take the notification.")


def test_a_server_without_tls(hook: Hook) -> None:
    problem = _post(hook.url.replace("http:", "https:"), attempts=1)
    assert "no TLS, or a certificate that is not trusted" in problem


@pytest.mark.parametrize(
    "url",
    ["", SECRET, f"ftp://host/{SECRET}", f"file:///{SECRET}", f"http:///{SECRET}", "http://["],
)
def test_what_is_no_url_of_a_web_hook(url: str) -> None:
    assert "begins with http:// or https://" in _post(url)
