"""Requests of the same moment in one batch, of few sizes, so that nothing is compiled twice."""

from __future__ import annotations

import asyncio
import contextlib
import functools
from collections import deque
from collections.abc import AsyncIterator, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, NamedTuple

import jax

from bigmodel.experiment import Batch, InputError, PyTree
from bigmodel.inference.answering import Named, decoded, encode, filled
from bigmodel.output import tallied
from bigmodel.predictor import Beginning, Predictor

AT_ONCE = 3
"""Batches in work: one is encoded and one decoded while the device has another."""


class FullError(Exception):
    """More inputs wait than may."""


class Answers(NamedTuple):
    """What each input of a request is answered, and warnings, each a line."""

    predictions: list[Any]
    warnings: list[str]


class Job(NamedTuple):
    """Inputs of one request, no more than a batch holds, and where its answers go."""

    inputs: Sequence[Named]
    answers: asyncio.Future[Answers]


class Batcher:
    """Answers inputs in batches.

    Args:
        predictor: encodes and decodes.
        apply: its ``apply``, compiled, on the variables.
        batch_size: inputs in the largest batch.
        wait: seconds that the first input of a batch waits for others.
        queue: inputs that may wait.
        measure: is given the number of inputs of each batch.
    """

    def __init__(
        self,
        predictor: Predictor,
        apply: Callable[[Batch], PyTree],
        *,
        batch_size: int,
        wait: float,
        queue: int,
        measure: Callable[[int], None],
    ) -> None:
        self._predictor, self._apply = predictor, apply
        self._batch_size, self._wait, self._queue = batch_size, wait, queue
        self._measure = measure
        self._jobs: deque[Job] = deque()
        self.waiting = 0
        self._sizes = batch_sizes(batch_size)

    def compile(self, samples: Sequence[Any]) -> bool:
        """Compiles for all sizes, with the first sample that can be encoded.

        Returns:
            Whether there is one.
        """
        for sample in samples:
            long = isinstance(sample, str) and self._predictor.kind == "text"
            with contextlib.suppress(InputError), tallied():
                row = self._predictor.encode([Beginning(sample) if long else sample])
                for size in self._sizes:
                    jax.block_until_ready(self._apply(filled(row, size)))
                return True
        return False

    @contextlib.asynccontextmanager
    async def working(self) -> AsyncIterator[None]:
        """Answers inside; at the end what is in work is finished."""
        self._arrived, self._full = asyncio.Event(), asyncio.Event()
        self._free = asyncio.Semaphore(AT_ONCE)
        with ThreadPoolExecutor(AT_ONCE, "batch") as pool:
            task = asyncio.create_task(self._work(pool))
            try:
                yield
            finally:
                task.cancel()

    async def answer(self, inputs: Sequence[Named]) -> Answers:
        """The answer to each input, in order.

        Raises:
            InputError: an input cannot be used; the message says which.
            FullError: there is no room in the queue.
        """
        if self.waiting + len(inputs) > self._queue:
            raise FullError
        loop = asyncio.get_running_loop()
        jobs = [
            Job(inputs[at : at + self._batch_size], loop.create_future())
            for at in range(0, len(inputs), self._batch_size)
        ]
        self._jobs.extend(jobs)
        self.waiting += len(inputs)
        self._arrived.set()
        if self.waiting >= self._batch_size:
            self._full.set()
        try:
            parts = await asyncio.gather(*(job.answers for job in jobs))
        finally:
            for job in jobs:
                job.answers.cancel()
            if any(job.answers.cancelled() for job in jobs):
                self._jobs = deque(job for job in self._jobs if not job.answers.cancelled())
                self.waiting = sum(len(job.inputs) for job in self._jobs)
        warnings = dict.fromkeys(warning for part in parts for warning in part.warnings)
        return Answers([each for part in parts for each in part.predictions], [*warnings])

    async def _work(self, pool: ThreadPoolExecutor) -> None:
        loop = asyncio.get_running_loop()
        while True:
            await self._arrived.wait()
            await self._free.acquire()
            if self.waiting < self._batch_size:
                self._full.clear()
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(self._full.wait(), self._wait)
            jobs = self._take()
            if not self._jobs:
                self._arrived.clear()
            if not jobs:
                self._free.release()
                continue
            self._measure(sum(len(job.inputs) for job in jobs))
            found = loop.run_in_executor(pool, self._answered, [job.inputs for job in jobs])
            found.add_done_callback(functools.partial(self._deliver, jobs))

    def _take(self) -> list[Job]:
        """The jobs of the next batch."""
        jobs: list[Job] = []
        rows = 0
        while self._jobs and rows + len(self._jobs[0].inputs) <= self._batch_size:
            jobs.append(self._jobs.popleft())
            rows += len(jobs[-1].inputs)
        self.waiting -= rows
        return jobs

    def _deliver(
        self, jobs: Sequence[Job], found: asyncio.Future[list[Answers | Exception]]
    ) -> None:
        self._free.release()
        for job, answers in zip(jobs, found.result(), strict=True):
            if job.answers.done():
                continue
            if isinstance(answers, Exception):
                job.answers.set_exception(answers)
            else:
                job.answers.set_result(answers)

    def _answered(self, asked: list[Sequence[Named]]) -> list[Answers | Exception]:
        """The answers to some requests in one batch; what is wrong with one is its own."""
        try:
            with tallied() as tally:
                batch = self._encoded(asked)
            clean = not tally
        except Exception:
            clean = False
        found = [[] if clean else self._warnings(inputs) for inputs in asked]
        good = [
            inputs
            for inputs, one in zip(asked, found, strict=True)
            if not isinstance(one, Exception)
        ]
        try:
            if good and not clean:
                with tallied():
                    batch = self._encoded(good)
            predictions = iter(self._predictions(batch, sum(map(len, good))) if good else ())
        except Exception as error:
            return [one if isinstance(one, Exception) else error for one in found]
        return [
            one if isinstance(one, Exception) else Answers([next(predictions) for _ in inputs], one)
            for inputs, one in zip(asked, found, strict=True)
        ]

    def _encoded(self, asked: list[Sequence[Named]]) -> Batch:
        return encode(self._predictor, [each for inputs in asked for each in inputs])

    def _warnings(self, inputs: Sequence[Named]) -> list[str] | Exception:
        """The warnings of a request, or what makes it impossible."""
        try:
            with tallied() as tally:
                self._encoded([inputs])
        except RecursionError:
            return InputError("an input is nested too deeply")
        except Exception as error:
            return error
        return [f"{count} {message}" for message, count in tally.items()]

    def _predictions(self, batch: Batch, rows: int) -> list[Any]:
        size = next(size for size in self._sizes if size >= rows)
        return decoded(self._predictor, self._apply(filled(batch, size)), rows)


def batch_sizes(largest: int) -> list[int]:
    """The sizes of batches: powers of two, and the largest."""
    return [*(1 << power for power in range((largest - 1).bit_length())), largest]
