"""A process that builds the step of a row, and runs it for a while whenever it is asked to."""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Callable
from typing import Any, NamedTuple


class Step(NamedTuple):
    """A step: ``run(n)`` makes so many and waits for the last; trained parameters; FLOPs."""

    run: Callable[[int], None]
    parameters: int
    flops: float = 0.0


def serve(build: Callable[[dict[str, Any]], Step]) -> None:
    """Reads a row, builds its step and says what it has; then reads durations.

    For each duration, in seconds, it answers with the milliseconds of a step, the mean over as many
    steps as fit. One step before them is not counted: another process had the caches.
    """
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)

    def answer(value: Any) -> None:
        answers.write(json.dumps(value) + "\n")
        answers.flush()

    step = build(json.loads(sys.stdin.readline()))
    step.run(2)
    answer({"parameters": step.parameters, "flops": step.flops})
    for line in sys.stdin:
        answer(1e3 * _seconds(step, float(line)))


def _seconds(step: Step, duration: float) -> float:
    started = time.perf_counter()
    step.run(1)
    steps = max(1, round(duration / (time.perf_counter() - started)))
    started = time.perf_counter()
    step.run(steps)
    return (time.perf_counter() - started) / steps
