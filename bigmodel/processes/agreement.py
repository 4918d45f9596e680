"""Agreement between all processes on whether to stop after a step."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from bigmodel.processes.distributed import must_wait_for_steps
from bigmodel.processes.placing import place_batch
from bigmodel.processes.signals import StopRequest
from bigmodel.sharding.mesh import replicated


class Agreement:
    """A signal to one of several processes stops all of them after the same step.

    Alone, a process need not ask anybody: its own signal counts at once. Of several, each
    brings its flag into a small reduction beside every step, which is read when that step
    is, so the devices do not wait for it.
    """

    def __init__(self, mesh: Mesh, stop: StopRequest) -> None:
        self.stop = stop
        self._alone = jax.process_count() == 1
        self._agreed = False
        if self._alone:
            return
        spread = NamedSharding(mesh, PartitionSpec(mesh.axis_names))
        self._any = jax.jit(jnp.any, out_shardings=replicated(mesh))
        self._flags = {
            flag: place_batch(np.full(mesh.size, flag), spread) for flag in (False, True)
        }

    @property
    def reached(self) -> bool:
        """Whether to stop now."""
        return self.stop.requested if self._alone else self._agreed

    def ask(self) -> Any:
        """Starts a reduction over all processes; pass its result to :meth:`hear`."""
        if self._alone:
            return None
        answer = self._any(self._flags[self.stop.requested])
        return jax.block_until_ready(answer) if must_wait_for_steps() else answer

    def hear(self, answer: Any) -> None:
        """Records the result of :meth:`ask`."""
        if answer is not None:
            self._agreed = self._agreed or bool(answer)

    def ask_now(self) -> bool:
        """Asks all processes and waits for the answer."""
        self.hear(self.ask())
        return self.reached
