"""Between which ends the inputs of layers are, over training batches."""

from __future__ import annotations

from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from bigmodel.experiment import Array, Batch, Experiment, InputError, Measured, Variables
from bigmodel.inference.measuring import evaluating
from bigmodel.models.layers.reading import changed_inputs
from bigmodel.output import note
from bigmodel.quantized import INPUTS, is_stored
from bigmodel.tree import path_of


def with_ranges(
    variables: Variables, plain: Variables, experiment: Experiment, *, seed: int, batches: int
) -> Variables:
    """The variables of few bits, with the ends of their layers' inputs in training batches.

    Args:
        variables: Those of few bits.
        plain: The same as floats, by which the batches are evaluated.
        experiment: What evaluates them.
        seed: That of the training whose batches they are.
        batches: How many, from the first on.

    Raises:
        InputError: training batches cannot be evaluated, or no layer reads its inputs rounded.
    """
    data, ends = experiment.data, dict[str, tuple[float, float]]()
    needed = {name for batch in list(data.splits.values())[:1] for name in batch[0]}
    if missing := sorted(needed - data.train(seed, 0).keys()):
        raise InputError(
            f"training batches have no {', '.join(missing)}, by which they would be evaluated; "
            "leave out --activations"
        )

    def widen(path: str, low: Any, high: Any) -> None:
        before = ends.get(path, (0.0, 0.0))
        ends[path] = min(before[0], float(low)), max(before[1], float(high))

    def watch(path: str, x: Array) -> Array:
        # A layer can be in a loop, or be computed again, so that no output has what it reads.
        jax.debug.callback(partial(widen, path), jnp.min(x), jnp.max(x))
        return x

    @jax.jit
    def evaluate(batch: Batch) -> Measured:
        with changed_inputs(watch):
            return evaluating(experiment)(plain, batch)

    for step in range(batches):
        batch = data.train(seed, step)
        jax.block_until_ready(evaluate({name: batch[name] for name in needed}))
    jax.effects_barrier()
    return ended(variables, ends)


def ended(variables: Variables, ends: dict[str, tuple[float, float]]) -> Variables:
    """The variables of few bits, the kernels among them with the ends of their layers' inputs.

    Raises:
        InputError: where no kernel's layer has any.
    """
    kernels, found = 0, 0

    def one(key_path: Any, node: Any) -> Any:
        nonlocal kernels, found
        layer, _, name = path_of(key_path).rpartition("/")
        if not is_stored(node) or name != "kernel":
            return node
        kernels += 1
        if layer not in ends or not np.all(np.isfinite(ends[layer])):
            return node
        found += 1
        return {**node, INPUTS: jnp.asarray(ends[layer], jnp.float32)}

    params = jax.tree_util.tree_map_with_path(one, variables["params"], is_leaf=is_stored)
    if not found:
        raise InputError(
            "no layer of this network can read inputs of eight bits, as dense layers and "
            "convolutions can outside of loops and ensembles; leave out --activations"
        )
    note(f"{found} of {kernels} layers read inputs of eight bits")
    return {**variables, "params": params}
