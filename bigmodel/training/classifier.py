"""A small network trained on the spot, where another experiment needs its features."""

from __future__ import annotations

from typing import Any

import jax

from bigmodel.experiment import Experiment


def fit(experiment: Experiment, *, steps: int, seed: int) -> Any:
    """The state after so many steps: a bare loop on one device, decided by the seed."""
    key = jax.random.key(seed)
    state = jax.jit(experiment.init)(key)
    step = jax.jit(experiment.train_step, donate_argnums=0)
    for i in range(steps):
        state, _, _ = step(state, experiment.data.train(seed, i), jax.random.fold_in(key, i))
    return state
