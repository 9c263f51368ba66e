"""Connections that send nothing, little, or too much, on a real socket."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import json
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import pytest
import uvicorn

from pipeline.serving.app import create_app
from pipeline.serving.connections import bounded_protocol, said_once
from pipeline.serving.metrics import Metrics
from pipeline.serving.model import ModelHolder, ServedModel
from pipeline.serving.settings import ServingSettings

HEAD_SECONDS = 0.5
MOST = 4


@pytest.fixture(scope="module")
def metrics() -> Metrics:
    return Metrics()


@pytest.fixture(scope="module")
def address(served: ServedModel, metrics: Metrics) -> Iterator[tuple[str, int]]:
    """A server with few connections and little time for a head."""
    app = create_app(ServingSettings(), ModelHolder(served), metrics=metrics)
    config = uvicorn.Config(
        app,
        http=bounded_protocol(MOST, metrics, head_seconds=HEAD_SECONDS),
        ws="none",
        log_config=None,
        access_log=False,
    )
    server = uvicorn.Server(config)
    with socket.create_server(("127.0.0.1", 0)) as listening:
        thread = threading.Thread(
            target=lambda: asyncio.run(server._serve([listening])), daemon=True
        )
        thread.start()
        yield listening.getsockname()
        server.should_exit = True
        thread.join(10)


def _answer(connection: socket.socket) -> tuple[int, dict[str, str]]:
    """Returns status code and JSON of what comes until the server closes the connection."""
    connection.settimeout(10)
    head, _, body = b"".join(iter(lambda: connection.recv(4096), b"")).partition(b"\r\n\r\n")
    assert b"application/json" in head.lower()
    return int(head.split()[1]), json.loads(body)


def _healthz(connection: socket.socket) -> bool:
    """Asks without closing the connection; whether the whole answer is a good one."""
    connection.sendall(b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n")
    answer = b""
    while not answer.endswith(b"}"):
        received = connection.recv(4096)
        assert received
        answer += received
    return answer.startswith(b"HTTP/1.1 200")


def test_a_connection_that_sends_nothing_is_closed(address: tuple[str, int]) -> None:
    with socket.create_connection(address, timeout=10) as connection:
        assert connection.recv(1) == b""


@pytest.mark.parametrize("sent", [b"GET /heal", b"GET /healthz HTTP/1.1\r\nHost: x\r\n"])
def test_a_head_that_does_not_end_is_answered(address: tuple[str, int], sent: bytes) -> None:
    with socket.create_connection(address) as connection:
        connection.sendall(sent)
        code, answer = _answer(connection)
    assert code == 408
    assert answer["error"].startswith("Expected the head of a request within")


def test_a_head_that_comes_slowly_has_no_more_time(address: tuple[str, int]) -> None:
    begin = time.monotonic()
    with socket.create_connection(address) as connection, contextlib.suppress(OSError):
        for byte in b"GET /healthz HTTP/1.1\r\nHost: " + b"x" * 100:
            connection.sendall(bytes([byte]))
            time.sleep(0.05)
    assert time.monotonic() - begin < 4


def test_a_kept_connection_may_be_silent_but_not_for_half_a_head(
    address: tuple[str, int],
) -> None:
    with socket.create_connection(address, timeout=10) as connection:
        for _ in range(2):
            assert _healthz(connection)
            time.sleep(2 * HEAD_SECONDS)
        connection.sendall(b"GET /healthz HTTP/1")
        assert _answer(connection)[0] == 408


@pytest.mark.parametrize(
    "sent",
    [
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
        b"no request\r\n\r\n",
        b"GET / HTTP/1.1\r\nno header\r\n\r\n",
        b"GET / HTTP/1.1\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: x\r\nX: " + b"y" * 100_000,
        b"POST /predict HTTP/1.1\r\nHost: x\r\nContent-Length: many\r\n\r\n",
        b"POST /predict HTTP/1.1\r\nHost: x\r\nContent-Length: -1\r\n\r\n",
        b"POST /predict HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nZZ\r\n",
        b"POST /predict HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n",
    ],
)
def test_what_is_no_http_is_answered_in_the_form_of_every_error(
    address: tuple[str, int], sent: bytes
) -> None:
    with socket.create_connection(address) as connection:
        connection.sendall(sent)
        code, answer = _answer(connection)
    assert code == 400
    assert "error" in answer


def test_one_connection_too_many_is_refused_and_counted(
    address: tuple[str, int], metrics: Metrics
) -> None:
    with contextlib.ExitStack() as silent:
        for _ in range(MOST):
            silent.enter_context(socket.create_connection(address))
        with socket.create_connection(address) as connection:
            code, answer = _answer(connection)
    assert code == 503
    assert answer["error"].startswith(f"Expected at most {MOST} connections")
    labels = {"reason": "connections"}
    assert metrics.registry.get_sample_value("covers_refusals_total", labels) == 1


def test_a_new_client_takes_the_place_of_one_that_is_done(address: tuple[str, int]) -> None:
    with contextlib.ExitStack() as kept:
        connections = [
            kept.enter_context(socket.create_connection(address, timeout=10)) for _ in range(MOST)
        ]
        assert all(_healthz(connection) for connection in connections)
        with socket.create_connection(address, timeout=10) as another:
            assert _healthz(another)
        assert connections[0].recv(1) == b""
        assert _healthz(connections[-1])


def test_used_up_descriptors_are_said_once_and_other_errors_go_on() -> None:
    said: list[str] = []
    handle = said_once(said.append)
    loop = asyncio.new_event_loop()
    passed_on: list[object] = []
    loop.default_exception_handler = passed_on.append  # type: ignore[method-assign,assignment]
    for _ in range(3):
        handle(loop, {"exception": OSError(errno.EMFILE, "Too many open files")})
    other = {"exception": ValueError("other")}
    handle(loop, other)
    loop.close()
    assert len(said) == 1
    assert "Too many open files" in said[0]
    assert passed_on == [other]


@pytest.mark.slow
def test_silent_connections_leave_the_server_reachable(
    push: Callable[[int], Path], tmp_path: Path
) -> None:
    command = f"ulimit -n 160; exec {sys.executable} -m pipeline serve --port 0 --destination"
    output = tmp_path / "output"
    with output.open("w") as file, contextlib.ExitStack() as silent:
        process = subprocess.Popen(
            ["bash", "-c", f'{command} "$1"', "bash", str(push(1).parent)],
            stdout=file,
            stderr=subprocess.STDOUT,
        )
        silent.callback(process.kill)
        base = _base(output, process)
        port = int(base.rpartition(":")[2])
        for _ in range(250):
            silent.enter_context(socket.create_connection(("127.0.0.1", port)))
        deadline = time.monotonic() + 60
        while not _healthy(base):
            assert time.monotonic() < deadline
            time.sleep(0.2)
        process.send_signal(signal.SIGTERM)
        assert process.wait(60) == 0
    said = output.read_text()
    assert "Traceback" not in said
    assert said.count("file descriptor") <= 1


def _base(output: Path, process: subprocess.Popen[bytes]) -> str:
    deadline = time.monotonic() + 120
    while "serves version" not in output.read_text():
        assert process.poll() is None and time.monotonic() < deadline, output.read_text()
        time.sleep(0.1)
    found = re.search(r"http://127\.0\.0\.1:\d+", output.read_text())
    assert found
    return found[0]


def _healthy(base: str) -> bool:
    try:
        return httpx.get(base + "/healthz", timeout=5).status_code == 200
    except httpx.HTTPError:
        return False
