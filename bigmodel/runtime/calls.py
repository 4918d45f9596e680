"""Several steps in one call, where a step is shorter than its call."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from bigmodel.data.ahead import Ahead
from bigmodel.experiment import Array, Batch, Data, Experiment, Key, PyTree
from bigmodel.runtime.memory import bytes_per_device
from bigmodel.sharding.chips import CHIPS, name_of_kind
from bigmodel.tracking.flops import count_work
from bigmodel.tracking.throughput import StepSize, peak_flops, step_size
from bigmodel.tree import named_leaves

if TYPE_CHECKING:
    from bigmodel.runtime.compilation import Compiled, Report
    from bigmodel.runtime.loop import Plan

SECONDS = 2e-3
"""What the steps of a call should take together: some ten times what the host needs for it."""
MOST = 64
"""Steps in a call at most, so that a signal is answered soon and few batches are held."""
CPU = (5e10, 1e10)
"""FLOP/s and bytes a second that a small step reaches on a CPU, roughly."""

Step = Callable[[Any, Any, Key, Array], "tuple[Any, Array, Report]"]


class RetraceError(TypeError):
    """A compiled step was given arguments of other shapes than at first."""


class Block(NamedTuple):
    """Batches of consecutive steps, stacked; only the first ``count`` are used."""

    batches: Batch
    count: Any


def repeated(step: Step) -> Step:
    """A step as often as a block has batches.

    The report has the metrics of the last step, and says what was not finite at the first where
    something was not. Each batch is taken from the stack a step ahead: a step then reads an
    argument of its own, as it does alone, so the compiler makes the same kernels of it, whose
    results are the same bits.
    """

    def steps(state: Any, block: Block, key: Key, index: Array) -> tuple[Any, Array, Report]:
        def batch(number: Any) -> Batch:
            return jax.tree.map(
                lambda stack: jax.lax.dynamic_index_in_dim(stack, number, keepdims=False),
                block.batches,
            )

        def body(number: Array, carry: Any) -> Any:
            state, index, before, now = carry
            state, index, after = step(state, now, key, index)
            return state, index, _first_unhealthy(before, after), batch(number + 1)

        first = batch(0)
        shapes = jax.eval_shape(step, state, first, key, index)[2]
        report: Report = jax.tree.map(lambda leaf: jnp.zeros(leaf.shape, leaf.dtype), shapes)
        report = report._replace(healthy=jnp.ones_like(report.healthy))
        carry = (state, index, report, first)
        state, index, report, _ = jax.lax.fori_loop(0, block.count, body, carry)
        return state, index, report

    return steps


def _first_unhealthy(before: Report, after: Report) -> Report:
    kept = before.healthy
    return after._replace(
        healthy=kept & after.healthy,
        finite=jnp.where(kept[..., None], after.finite, before.finite),
        step=jnp.where(kept, after.step, before.step),
    )


def steps_of_a_call(compiled: Compiled, plan: Plan, batch: Batch, key: Key, index: Array) -> int:
    """How many steps a call makes at most: as the options say, or by the size of a step.

    By size and not by time, so that the same config makes the same calls. It is one where JAX's
    debuggers are to see each step, and on a CPU where there are convolutions: XLA computes those
    otherwise in a loop, to other bits.
    """
    most = min(plan.together or MOST, plan.log)
    device = next(iter(key.devices()))
    kind = name_of_kind(device.device_kind)
    if most == 1 or is_debugged() or (device.platform != "cpu" and kind is None):
        return 1
    flops, bandwidth = CPU if kind is None else (CHIPS[kind].bfloat16, CHIPS[kind].memory_bandwidth)
    seconds = 2 * bytes_per_device(compiled.state) / bandwidth
    if plan.together is None and seconds > SECONDS:
        return 1
    jaxpr = compiled.trace(compiled.state, batch, key, index).jaxpr
    if device.platform == "cpu" and "conv_general_dilated" in str(jaxpr):
        return 1
    if plan.together is not None:
        return most
    work = count_work(jaxpr)
    seconds += (work.flops / flops + work.bytes / bandwidth) / len(key.devices())
    return max(1, min(most, int(SECONDS / seconds)))


def batches_of_calls(
    compiled: Compiled, data: Data, seed: Any, plan: Plan, start: int, most: int
) -> Ahead[range, tuple[int, Any]]:
    """The number of steps of each call from a step on, and its batch or block, on the devices.

    Another thread makes them ahead of time.
    """

    def make(steps: range) -> tuple[int, Any]:
        return len(steps), placed(compiled, data, seed, steps, most)

    return Ahead(make, plan.calls(start, most))


def take(
    batches: Ahead[range, tuple[int, Any]],
    busy: Any,
    waiting: Callable[[], AbstractContextManager[object]],
) -> tuple[int, Any]:
    """The next of :func:`batches_of_calls`.

    ``waiting`` is entered while the devices, which ``busy`` is the work of, wait for it too.
    """
    if not batches.is_ready:
        jax.block_until_ready(busy)
        with waiting():
            return next(batches)
    return next(batches)


def placed(compiled: Compiled, data: Data, seed: Any, steps: range, most: int = 1) -> Any:
    """The batch of a step, or the block of several, on the devices.

    Of several processes each makes only the rows that its own devices hold.
    """

    def own(step: int) -> Batch:
        one, *others = (data.train(seed, step, rows) for rows in compiled.rows)
        if not others:
            return one
        return jax.tree.map(lambda *arrays: np.concatenate(arrays), one, *others)

    batches = [own(step) for step in steps]
    if most == 1:
        return compiled.place(batches[0], own=True)
    batches += batches[-1:] * (most - len(steps))
    stacks = jax.tree.map(lambda *arrays: np.stack(arrays), *batches)
    return Block(compiled.place(stacks, own=True, stacked=True), np.int32(len(steps)))


def compile_first(
    compiled: Compiled, data: Data, seed: Any, plan: Plan, key: Key, start: int
) -> None:
    """Compiles what the first call of a run needs, which then finds it done.

    It is for another thread to do while the state is made, in a run of one process.
    """
    if jax.process_count() > 1 or start >= plan.total:
        return
    key, index = compiled.place_scalar(key), compiled.place_scalar(np.int32(start))
    steps = range(start, start + 1)
    most = steps_of_a_call(compiled, plan, placed(compiled, data, seed, steps), key, index)
    batch = placed(compiled, data, seed, steps, most)
    compiled.trace(compiled.state, batch, key, index).lower().compile()


def size_of_step(
    compiled: Compiled, experiment: Experiment, seed: Any, start: int
) -> tuple[StepSize, float | None]:
    """The size of a step, and the FLOP/s that the devices reach together at their best."""
    batch = placed(compiled, experiment.data, seed, range(start, start + 1))
    key = compiled.place_scalar(jax.random.key(seed))
    index = compiled.place_scalar(np.int32(start))
    traced = compiled.trace(compiled.state, batch, key, index)
    return step_size(experiment, traced, batch), peak_flops(key.devices())


def is_debugged() -> bool:
    """Whether one of JAX's debuggers is on, in this thread."""
    return any(getattr(jax.config, name) for name in ("jax_disable_jit", "jax_debug_nans"))


def is_traced(values: PyTree) -> bool:
    """Whether JAX traces a function, and does not call it with arrays as its debuggers do."""
    return any(isinstance(leaf, jax.core.Tracer) for leaf in jax.tree.leaves(values))


def traced_once(function: Callable[..., Any], arguments: tuple[str, ...]) -> Callable[..., Any]:
    """The function, which raises RetraceError where JAX traces it a second time.

    The error names the first argument whose structure, shape or dtype has changed. JAX's
    debuggers call the function with arrays, which is not tracing.
    """
    first: list[dict[str, str]] = []

    def traced(*values: Any) -> Any:
        if not is_traced(values):
            return function(*values)
        named = dict(zip(arguments, values, strict=True))
        seen = {path: str(jax.typeof(leaf)) for path, leaf in named_leaves(named).items()}
        if first:
            changed = [
                f"{path} was {first[0].get(path, 'absent')} and is {seen.get(path, 'absent')}"
                for path in [*first[0], *seen]
                if first[0].get(path) != seen.get(path)
            ]
            what = changed[0] if changed else "its static structure differs"
            name = getattr(function, "__name__", "function")
            raise RetraceError(f"{name} would be compiled a second time: {what}")
        result = function(*values)
        first.append(seen)
        return result

    return traced
