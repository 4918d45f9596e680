"""Measures on a few steps whether runs are faster side by side than one after the other."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from bigmodel.experiment import Experiment, PyTree
from bigmodel.runtime.compilation import Compiled, compile_experiment
from bigmodel.runtime.loop import init_key, step_key
from bigmodel.runtime.memory import memory_of
from bigmodel.runtime.settings import Settings
from bigmodel.runtime.side_by_side import side_by_side, stack

STEPS = 5
ROUNDS = 3
"""Rounds of steps that are timed after the first step; the fastest round counts."""
WORTH = 10.0
"""Minimum ratio of training time to compilation time for which a trial is made."""
MARGIN = 1.5
"""Minimum speedup for which runs are made side by side, so that noise does not decide."""
SHARE = 0.8
"""Fraction of the memory that the states of runs side by side may take."""


class Trial(NamedTuple):
    """The outcome of a trial: ``sequential`` or ``vmap``, and why."""

    seeds_by: str
    why: str


def measure(
    experiment: Experiment,
    compiled: Compiled,
    config: Settings,
    *,
    width: int,
    runs: int,
    workers: int,
) -> Trial:
    """Times a few steps of one of the runs, and of ``width`` side by side if it may be worth it.

    There are ``runs`` in all, which ``workers`` processes would share otherwise, each as quick as
    if it were alone.
    """
    batch = compiled.place(experiment.data.train(config.seed, 0))
    key = compiled.place_scalar(step_key(config.seed))
    mesh_devices = len(key.devices())
    if width < 2 or mesh_devices > 1:
        what = "there is one seed" if width < 2 else f"a run takes {mesh_devices} devices"
        return Trial("sequential", f"sequential: {what}")
    state = compiled.init(init_key(config.seed))
    needed = width * sum(leaf.nbytes for leaf in jax.tree.leaves((state, state.params)))
    first, each = _time(lambda s, i: compiled.step(s, batch, key, i)[:2], state, compiled)
    training = each * config.run.total_steps(experiment.data.steps_per_epoch) * runs
    if training < WORTH * max(first, 1.0):
        what = f"{training:.0f} s of training are not worth a trial"
        return Trial("sequential", f"sequential: {what}")
    if needed > SHARE * (memory_of(jax.devices()[0]) or float("inf")):
        return Trial("sequential", f"sequential: {width} states do not fit side by side")
    try:
        mesh = jax.tree.leaves(compiled.state)[0].sharding.mesh
        step = compile_experiment(side_by_side(experiment), mesh, runs=(width,)).step
        batches, keys = stack([batch] * width), jnp.stack([key] * width)
        states = stack([compiled.init(init_key(config.seed)) for _ in range(width)])
        _, together = _time(lambda s, i: step(s, batches, keys, i)[:2], states, compiled)
    except jax.errors.JaxRuntimeError:
        return Trial("sequential", f"sequential: {width} runs do not fit side by side")
    one_by_one = width * each / min(workers, width)
    seeds_by = "vmap" if MARGIN * together < one_by_one else "sequential"
    what = "side by side" if seeds_by == "vmap" else "sequential"
    return Trial(
        seeds_by,
        f"{what}: a step of {width} runs takes {one_by_one * 1e3:.3g} ms one by one "
        f"and {together * 1e3:.3g} ms side by side",
    )


def _time(
    step: Callable[[PyTree, Any], tuple[PyTree, Any]], state: PyTree, compiled: Compiled
) -> tuple[float, float]:
    """Seconds of the first step, which compiles, and of each later one."""
    index = compiled.place_scalar(np.int32(0))
    begin = time.perf_counter()
    state, index = jax.block_until_ready(step(state, index))
    first = time.perf_counter() - begin
    rounds = []
    for _ in range(ROUNDS):
        begin = time.perf_counter()
        for _ in range(STEPS):
            state, index = step(state, index)
        jax.block_until_ready(state)
        rounds.append(time.perf_counter() - begin)
    return first, min(rounds) / STEPS
