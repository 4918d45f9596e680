"""A trace of some steps, for TensorBoard's profiler and for Perfetto."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any

import jax

from bigmodel.errors import naming


class Profile:
    """Records the steps of a range, counted from 0, into a folder; without a range nothing."""

    def __init__(self, steps: range, folder: Path) -> None:
        self._steps = steps
        self._folder = folder
        self._running = False

    def around(self, step: int, state: Any) -> AbstractContextManager[object]:
        """The context to run a step in. The first step of the range waits for all earlier work."""
        if step in self._steps and not self._running:
            jax.block_until_ready(state)
            with naming(self._folder):
                jax.profiler.start_trace(self._folder, create_perfetto_trace=True)
            self._running = True
        if not self._running:
            return nullcontext()
        return jax.profiler.StepTraceAnnotation("step", step_num=step)

    def after(self, step: int, state: Any) -> None:
        """Stops recording after the last step of the range."""
        if self._running and step + 1 not in self._steps:
            jax.block_until_ready(state)
            self.close()

    def close(self) -> None:
        """Stops recording at the end of the run."""
        if self._running:
            self._running = False
            with naming(self._folder):
                jax.profiler.stop_trace()
