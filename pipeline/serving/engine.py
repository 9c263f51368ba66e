"""From a request to answers: the one way that all protocols take."""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from starlette.requests import ClientDisconnect, Request

from components.contracts.quarantine import RowRejected
from pipeline.serving.answers import Answered
from pipeline.serving.batching import Batcher, Listener
from pipeline.serving.errors import Refused, malformed, no_model, too_many
from pipeline.serving.images import CheckedImage, check_image
from pipeline.serving.metrics import Metrics
from pipeline.serving.model import ModelHolder, ServedModel
from pipeline.serving.settings import ServingSettings

T = TypeVar("T")


class Engine:
    """Reads bodies, checks images in a thread pool, and has them answered in batches.

    Attributes:
        settings: names and limits.
        holder: has the model.
        metrics: counts.
        stopping: set when the server takes no new requests.
    """

    def __init__(
        self,
        settings: ServingSettings,
        holder: ModelHolder,
        metrics: Metrics,
        listener: Listener | None = None,
    ) -> None:
        self.settings, self.holder, self.metrics = settings, holder, metrics
        self.stopping = False
        self._pool = ThreadPoolExecutor(os.cpu_count() or 1, thread_name_prefix="images")
        self._images = self._checking = self._bytes = 0
        self._batcher = Batcher(
            settings.max_batch, settings.max_wait, lambda: self._checking, metrics, listener
        )

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Answers what is asked within the block."""
        batches = asyncio.create_task(self._batcher.run())
        try:
            yield
        finally:
            batches.cancel()
            self._pool.shutdown(wait=False, cancel_futures=True)
            with contextlib.suppress(asyncio.CancelledError):
                await batches

    @property
    def is_ready(self) -> bool:
        """Whether requests for predictions are answered."""
        return self.holder.model is not None and not self.stopping

    def model(self) -> ServedModel:
        """Returns the version that is served.

        Raises:
            Refused: none is loaded.
        """
        model = self.holder.model
        if model is None:
            raise no_model()
        return model

    @contextlib.asynccontextmanager
    async def body(self, request: Request) -> AsyncIterator[bytes]:
        """Reads a request's body, which counts as held within the block.

        Raises:
            Refused: it is too large, compressed, too slow, or too much is held.
        """
        if request.headers.get("content-encoding", "identity").lower() != "identity":
            raise Refused(
                415, "encoding", "Expected a body that is not compressed. Received: a compressed."
            )
        held = 0
        chunks: list[bytes] = []

        def hold(size: int) -> None:
            nonlocal held
            if size > self.settings.max_body:
                raise Refused(
                    413,
                    "body_too_large",
                    f"Expected a body of at most {self.settings.max_body:,} bytes. Received: more. "
                    "Send fewer images in a request.",
                )
            if self._bytes + size - held > self.settings.most_bytes_held:
                raise too_many("bodies that together are too large")
            self._bytes += size - held
            held = size

        async def read() -> None:
            size = 0
            async for chunk in request.stream():
                size += len(chunk)
                hold(max(size, held))
                chunks.append(chunk)

        try:
            hold(_announced(request))
            await asyncio.wait_for(read(), self.settings.timeout)
            yield b"".join(chunks)
        except asyncio.TimeoutError as error:
            raise Refused(
                408, "slow", "Expected the body within the time limit. Received: a part of it."
            ) from error
        except ClientDisconnect as error:
            raise Refused(400, "disconnected", "Expected a body. Received: a part.") from error
        finally:
            self._bytes -= held

    async def in_thread(self, function: Callable[..., T], *arguments: object) -> T:
        """Runs what takes time beside the event loop."""
        return await asyncio.get_running_loop().run_in_executor(self._pool, function, *arguments)

    async def answer(
        self, model: ServedModel, images: Sequence[bytes]
    ) -> list[Answered | RowRejected]:
        """Returns, for each image, the model's answer or why the image cannot be read.

        Raises:
            Refused: there are too many images, in the request or in the server, or it took too
                long.
        """
        settings = self.settings
        if not images:
            raise malformed("at least one image", "none")
        most = min(settings.max_images, settings.queue)  # more would never find a place
        if len(images) > most:
            raise Refused(
                413,
                "too_many_images",
                f"Expected at most {most} images in a request. Received: "
                f"{len(images):,}. Send several requests.",
            )
        with self._places(len(images)):
            try:
                return await asyncio.wait_for(self._answer(model, images), settings.timeout)
            except asyncio.TimeoutError as error:
                raise Refused(
                    504,
                    "timeout",
                    f"Expected an answer within {settings.timeout:g} s. Received: none. Send fewer "
                    "requests at a time.",
                ) from error

    async def _answer(
        self, model: ServedModel, images: Sequence[bytes]
    ) -> list[Answered | RowRejected]:
        checked = await asyncio.gather(*(self._check(model, image) for image in images))
        good = [each for each in checked if isinstance(each, CheckedImage)]
        answers = iter(await self._batcher.ask(model, good) if good else ())
        given = [each if isinstance(each, RowRejected) else next(answers) for each in checked]
        for each in given:
            outcome = each.reason.value if isinstance(each, RowRejected) else "answered"
            self.metrics.images.labels(outcome).inc()
        return given

    async def _check(self, model: ServedModel, image: bytes) -> CheckedImage | RowRejected:
        self._checking += 1
        try:
            return await self.in_thread(check_image, image, model.description.background)
        finally:
            self._checking -= 1

    @contextlib.contextmanager
    def _places(self, count: int) -> Iterator[None]:
        if self._images + count > self.settings.queue:
            raise too_many(f"{self._images:,} images that wait already")
        self._images += count
        try:
            yield
        finally:
            self._images -= count


def all_answered(given: Sequence[Answered | RowRejected]) -> list[Answered]:
    """Returns the answers, for protocols that have no place for a single image's error.

    Raises:
        Refused: names the first image that cannot be read, and why.
    """
    for number, each in enumerate(given):
        if isinstance(each, RowRejected):
            raise Refused(
                400, "image", f"Image {number} of the request: {each.detail} ({each.reason.value})"
            )
    return [each for each in given if isinstance(each, Answered)]


def _announced(request: Request) -> int:
    length = request.headers.get("content-length", "0")
    return int(length) if length.isascii() and length.isdecimal() else 0
