"""Agreement between all processes on whether to stop after a step."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from bigmodel.processes.distributed import must_wait_for_steps
from bigmodel.processes.placing import place_batch
from bigmodel.processes.signals import StopRequest
from bigmodel.sharding.mesh import replicated

SECONDS = 1.0
"""How long a signal may have to wait for the processes to ask each other, roughly."""


class Agreement:
    """A signal to one of several processes stops all of them after the same step.

    Alone, a process need not ask anybody: its own signal counts at once. Of several, each
    brings what it says into a small reduction beside every step, which is read when that step
    is, so the devices do not wait for it: the largest number, infinity where it is to stop.
    """

    def __init__(self, mesh: Mesh, stop: StopRequest) -> None:
        self.stop = stop
        self._alone = jax.process_count() == 1
        self._agreed = False
        if self._alone:
            return
        spread = NamedSharding(mesh, PartitionSpec(mesh.axis_names))
        self._most = jax.jit(jnp.max, out_shardings=replicated(mesh))
        self._spread = lambda said: place_batch(np.full(mesh.size, said, np.float32), spread)
        self._said = {said: self._spread(said) for said in (0.0, math.inf)}

    @property
    def reached(self) -> bool:
        """Whether to stop now."""
        return self.stop.requested if self._alone else self._agreed

    def ask(self, seconds: float = 0.0) -> Any:
        """Starts a reduction over all processes; pass its result to :meth:`hear`."""
        if self._alone:
            return None
        said = math.inf if self.stop.requested else seconds
        answer = self._most(self._said[said] if said in self._said else self._spread(said))
        return jax.block_until_ready(answer) if must_wait_for_steps() else answer

    def hear(self, answer: Any) -> float:
        """Records the result of :meth:`ask`, and returns the most seconds that one has told."""
        most = 0.0 if answer is None else float(answer)
        self._agreed = self._agreed or math.isinf(most)
        return most

    def at_times(self, before: Callable[[], None]) -> Callable[[], bool]:
        """Whether to stop, for work in many parts: all processes call it before each of them.

        They ask each other, and wait for the answer, about every ``SECONDS`` of the slowest one,
        which they tell each other too, so that all ask before the same parts. ``before`` is called
        each time.
        """
        since, calls, left = time.monotonic(), 1, 1

        def reached() -> bool:
            nonlocal since, calls, left
            before()
            left -= 1
            if left == 0 and not self._alone:
                slowest = self.hear(self.ask((time.monotonic() - since) / calls))
                calls = left = max(1, min(2 * calls, int(SECONDS / max(slowest, 1e-6))))
                since = time.monotonic()
            return self.reached

        return reached
