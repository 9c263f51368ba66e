"""A server of this project as a process, and clients that keep it busy."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import os
import re
import statistics
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Awaitable, Callable, Iterator, Sequence
from pathlib import Path

import aiohttp

_STARTS_WITHIN = 300.0


class Server:
    """A running `covers serve`.

    Attributes:
        process: it.
        base: the beginning of its URLs.
        said: the lines that it printed.
    """

    def __init__(self, arguments: Sequence[str]) -> None:
        command = [sys.executable, "-m", "pipeline", "serve", "--port", "0", *arguments]
        self.process = subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        )
        self.said: list[str] = []
        threading.Thread(target=self._listen, daemon=True).start()
        self.wait(lambda: "Ctrl-C" in "".join(self.said))
        found = re.search(r"http://\S+?:\d+", "".join(self.said))
        assert found, self.said
        self.base = found[0]
        self.wait(self._is_ready)

    def _listen(self) -> None:
        assert self.process.stdout is not None
        self.said.extend(iter(self.process.stdout.readline, ""))

    def _is_ready(self) -> bool:
        try:
            with urllib.request.urlopen(self.base + "/readyz", timeout=5) as answer:
                return bool(answer.status == 200)
        except OSError:
            return False

    def wait(self, until: Callable[[], bool]) -> None:
        """Waits for something to become true; ends the benchmark if the server has ended."""
        deadline = time.monotonic() + _STARTS_WITHIN
        while not until():
            if self.process.poll() is not None or time.monotonic() > deadline:
                raise SystemExit("The server did not start:\n" + "".join(self.said))
            time.sleep(0.05)

    def megabytes(self) -> float:
        """Returns its resident memory."""
        status = Path(f"/proc/{self.process.pid}/status").read_text(encoding="ascii")
        found = re.search(r"VmRSS:\s+(\d+) kB", status)
        assert found
        return int(found[1]) / 1000

    def cpu_seconds(self) -> float:
        """Returns the processor time that it has used, of all threads."""
        stat = Path(f"/proc/{self.process.pid}/stat").read_text(encoding="ascii")
        user, system = stat.rpartition(")")[2].split()[11:13]
        return (int(user) + int(system)) / os.sysconf("SC_CLK_TCK")


@contextlib.contextmanager
def serving(*arguments: str) -> Iterator[Server]:
    """Starts a server, and ends it after the block."""
    server = Server(arguments)
    try:
        yield server
    finally:
        server.process.terminate()
        server.process.wait()


class Load:
    """What clients met.

    Attributes:
        seconds: how long each answered request took.
        failed: what the others met.
        wall: from the first request to the last answer.
    """

    def __init__(self) -> None:
        self.seconds: list[float] = []
        self.failed: list[str] = []
        self.wall = 0.0

    @property
    def per_second(self) -> float:
        """Answers a second."""
        return len(self.seconds) / self.wall

    def quantile(self, percent: int) -> float:
        """Returns a percentile of the times, in seconds."""
        return statistics.quantiles(self.seconds, n=100, method="inclusive")[percent - 1]


def closed_loop(
    base: str, images: Sequence[bytes], clients: int, until: Callable[[Load], bool]
) -> Load:
    """Has clients ask again as soon as they have their answer, one image each, connections kept.

    Args:
        base: of the server's URLs.
        images: asked about in turn.
        clients: how many ask at a time.
        until: tells when no further request is to begin.
    """

    async def work(post: Callable[[], Awaitable[None]], load: Load) -> None:
        async def ask() -> None:
            while not until(load):
                await post()

        await asyncio.gather(*(ask() for _ in range(clients)))

    return asyncio.run(_run(base, images, work))


def open_loop(base: str, images: Sequence[bytes], per_second: float, seconds: float) -> Load:
    """Sends requests at even intervals, whether or not those before are answered."""

    async def work(post: Callable[[], Awaitable[None]], load: Load) -> None:
        begin = time.perf_counter()
        tasks = []
        for number in range(int(per_second * seconds)):
            await asyncio.sleep(begin + number / per_second - time.perf_counter())
            tasks.append(asyncio.create_task(post()))
        await asyncio.gather(*tasks)

    return asyncio.run(_run(base, images, work))


async def _run(
    base: str,
    images: Sequence[bytes],
    work: Callable[[Callable[[], Awaitable[None]], Load], Awaitable[None]],
) -> Load:
    load, turn = Load(), itertools.cycle(images)
    connector = aiohttp.TCPConnector(limit=0)
    async with aiohttp.ClientSession(base, connector=connector) as session:

        async def post() -> None:
            begin = time.perf_counter()
            try:
                async with session.post("/predict", data=next(turn)) as answer:
                    body = await answer.read()
                    if answer.status != 200:
                        load.failed.append(f"{answer.status} {body[:200].decode()}")
                        return
            except (aiohttp.ClientError, OSError) as error:
                load.failed.append(type(error).__name__)
                return
            load.seconds.append(time.perf_counter() - begin)

        begin = time.perf_counter()
        await work(post, load)
        load.wall = time.perf_counter() - begin
    return load
