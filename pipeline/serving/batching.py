"""Gathers the images of many clients into batches for the model, which one thread asks."""

from __future__ import annotations

import asyncio
import collections
import contextlib
import dataclasses
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor

from pipeline.serving.answers import Answered
from pipeline.serving.errors import Refused
from pipeline.serving.images import CheckedImage
from pipeline.serving.metrics import Metrics
from pipeline.serving.model import ServedModel

Listener = Callable[[Sequence[Answered]], None]


@dataclasses.dataclass(frozen=True, eq=False)
class _Waiting:
    model: ServedModel
    image: CheckedImage
    answer: asyncio.Future[Answered]


class Batcher:
    """Asks the model about up to `max_batch` images at once.

    A batch begins as soon as the model is free. If it is not full and further images are just being
    checked, it waits for them, but never longer than `max_wait`. One batch is for one version: an
    image is answered by the version that was served when its request came.

    Args:
        max_batch: most images in a batch.
        max_wait: seconds.
        coming: tells how many images are being checked.
        metrics: counts batches and what waits.
        listener: gets every batch of answers; must return at once.
    """

    def __init__(
        self,
        max_batch: int,
        max_wait: float,
        coming: Callable[[], int],
        metrics: Metrics,
        listener: Listener | None = None,
    ) -> None:
        self._max_batch, self._max_wait = max_batch, max_wait
        self._coming, self._metrics, self._listener = coming, metrics, listener
        self._queue: collections.deque[_Waiting] = collections.deque()
        self._arrived = asyncio.Event()
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="model")

    async def ask(self, model: ServedModel, images: Sequence[CheckedImage]) -> list[Answered]:
        """Returns the model's answers to checked images, in their order.

        Raises:
            Refused: the model failed on one of them.
        """
        loop = asyncio.get_running_loop()
        waiting = [_Waiting(model, image, loop.create_future()) for image in images]
        self._queue.extend(waiting)
        self._metrics.queued.set(len(self._queue))
        self._arrived.set()
        try:
            return list(await asyncio.gather(*(each.answer for each in waiting)))
        except BaseException:  # an error, or nobody waits any longer
            for each in waiting:
                with contextlib.suppress(ValueError):
                    self._queue.remove(each)
            raise

    async def run(self) -> None:
        """Answers until cancelled."""
        try:
            while True:
                await self._gather()
                batch = self._take()
                if batch:
                    await self._answer(batch)
                del batch  # nothing waits here with an old model in its hands
        finally:
            self._thread.shutdown(wait=False, cancel_futures=True)

    async def _gather(self) -> None:
        loop = asyncio.get_running_loop()
        while not self._queue:
            self._arrived.clear()
            await self._arrived.wait()
        until = loop.time() + self._max_wait
        while len(self._queue) < self._max_batch and self._coming():
            self._arrived.clear()
            try:
                await asyncio.wait_for(self._arrived.wait(), until - loop.time())
            except asyncio.TimeoutError:
                return

    def _take(self) -> list[_Waiting]:
        batch: list[_Waiting] = []
        while self._queue and len(batch) < self._max_batch:
            if batch and self._queue[0].model is not batch[0].model:
                break
            first = self._queue.popleft()
            if not first.answer.done():  # else its client has given up
                batch.append(first)
        self._metrics.queued.set(len(self._queue))
        return batch

    async def _answer(self, batch: Sequence[_Waiting]) -> None:
        loop = asyncio.get_running_loop()
        self._metrics.batches.observe(len(batch))
        answers = await loop.run_in_executor(self._thread, _ask, [*batch])
        for each, answer in zip(batch, answers, strict=True):
            if each.answer.done():
                continue
            if isinstance(answer, Answered):
                each.answer.set_result(answer)
            else:
                each.answer.set_exception(answer)
        good = [answer for answer in answers if isinstance(answer, Answered)]
        if self._listener and good:
            self._listener(good)


def _ask(batch: Sequence[_Waiting]) -> list[Answered | Refused]:
    """Asks about all images at once or, should that fail, about each: one spoils no other."""
    model = batch[0].model
    try:
        probabilities, decisions = model.ask([each.image.content for each in batch])
    except Exception:  # whatever it is, the thread goes on
        if len(batch) > 1:
            return [answer for each in batch for answer in _ask([each])]
        return [Refused(500, "model", "Expected an answer of the model. Received: its failure.")]
    return [
        Answered(each.image.content, each.image.facts, probable, decided, model.version)
        for each, probable, decided in zip(batch, probabilities, decisions, strict=True)
    ]
