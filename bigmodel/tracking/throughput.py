"""How fast a run is: what it trains on in a second, and the share of the devices' peak."""

from __future__ import annotations

import contextlib
import functools
import math
import time
from collections.abc import Callable, Collection, Iterator
from typing import NamedTuple

import jax
import jax.numpy as jnp

from bigmodel.experiment import Batch, Experiment
from bigmodel.sharding.chips import CHIPS, name_of_kind
from bigmodel.tracking.flops import count_work

SIDE = 1024
TRIES = 3


class StepSize(NamedTuple):
    """What one step is, on all devices: so many ``units`` of a ``unit``, FLOPs of the model."""

    unit: str
    units: int
    flops: float


def step_size(experiment: Experiment, traced: jax.stages.Traced, batch: Batch) -> StepSize:
    """The size of a step; its FLOPs are counted where the experiment does not tell them.

    ``traced`` is the step before it is compiled, ``batch`` that of all devices, or its shapes.
    """
    flops, (unit, units) = experiment.flops, batch_size(batch)
    filled = parts = 1.0
    if experiment.privacy is not None:
        filled, parts = experiment.privacy.filled, experiment.privacy.parts
    if flops is None:
        # A loop whose end the data decide counts once.
        flops = parts * count_work(traced.jaxpr).model_flops
    return StepSize(unit, round(filled * units), flops)


def batch_size(batch: Batch) -> tuple[str, int]:
    """The unit of a batch and how many there are: tokens, padding included, or examples."""
    if "tokens" in batch:
        return "tokens", math.prod(batch["tokens"].shape)
    return "examples", next(iter(batch.values())).shape[0]


def rates(step: StepSize, *, steps_per_second: float, peak: float | None) -> dict[str, float]:
    """The figures of a run whose devices have together a peak of so many FLOP/s, if it is known.

    ``tokens_per_second`` or ``examples_per_second``, ``model_flops_per_second`` and, with a peak,
    ``mfu``: the model's FLOPs as a share of it (Chowdhery et al., 2022). A CPU's peak is measured;
    where more than all of it is used, other programs disturbed that, and no share is told.
    """
    found = {
        f"{step.unit}_per_second": step.units * steps_per_second,
        "model_flops_per_second": step.flops * steps_per_second,
    }
    if peak and found["model_flops_per_second"] <= peak:
        found["mfu"] = found["model_flops_per_second"] / peak
    return {name: float(f"{value:.4g}") for name, value in found.items()}


class Timer:
    """Seconds and speeds of training: what evaluations and checkpoints take is not in the speed.

    It begins at a step, after so many seconds ``before`` it in earlier starts of the run. ``size``
    gives the size of a step, and the FLOP/s that the devices reach together at their best; it is
    called once, when a speed is first known.
    """

    def __init__(
        self, start: int, before: float, size: Callable[[], tuple[StepSize, float | None]]
    ) -> None:
        self._before = before
        self._start = self._mark = time.perf_counter()
        self._step = start
        self._waited = 0.0
        self._size = functools.cache(size)
        self.first_step: float | None = None

    @property
    def total(self) -> float:
        """Seconds over all starts of the run."""
        return self._before + time.perf_counter() - self._start

    def speeds(self, step: int) -> dict[str, float]:
        """Steps per second since the last call, ``input_wait`` and :func:`rates`, by name.

        ``input_wait`` is the share of that time in which the devices had to wait for data. Empty at
        first, when the speed would be that of the compiler.
        """
        now = time.perf_counter()
        seconds = max(now - self._mark, 1e-9)
        speed, waited = (step - self._step) / seconds, min(self._waited / seconds, 1.0)
        self._mark, self._step, self._waited = now, step, 0.0
        if self.first_step is None:
            self.first_step = now - self._start
            return {}
        with self.paused():
            size, peak = self._size()
        found = {"steps_per_second": round(speed, 3), "input_wait": round(waited, 4)}
        return found | rates(size, steps_per_second=speed, peak=peak)

    @contextlib.contextmanager
    def paused(self) -> Iterator[None]:
        """Leaves what happens inside out of the speed."""
        start = time.perf_counter()
        yield
        self._mark += time.perf_counter() - start

    @contextlib.contextmanager
    def waiting(self) -> Iterator[None]:
        """Counts what happens inside as waiting for data."""
        start = time.perf_counter()
        yield
        self._waited += time.perf_counter() - start


def peak_flops(devices: Collection[jax.Device]) -> float | None:
    """FLOP/s of matrix products that devices of one kind reach together at their best.

    For an accelerator what its maker states for bfloat16, None where it is not in the table.
    Devices on a CPU share its cores, so there it is what one product of this process reaches,
    for each process.
    """
    device = next(iter(devices))
    if device.platform == "cpu":
        return measured_product() * jax.process_count()
    name = name_of_kind(device.device_kind)
    return None if name is None else CHIPS[name].bfloat16 * len(devices)


@functools.cache
def measured_product() -> float:
    """FLOP/s of a float32 matrix product of ``SIDE`` rows and columns, the best of a few.

    It is measured once in a process.
    """
    matrix = jnp.ones((SIDE, SIDE), jnp.float32)
    product = jax.jit(jnp.matmul)
    product(matrix, matrix).block_until_ready()
    times = []
    for _ in range(TRIES):
        start = time.perf_counter()
        product(matrix, matrix).block_until_ready()
        times.append(time.perf_counter() - start)
    return 2 * SIDE**3 / min(times)
