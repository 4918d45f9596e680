"""Pipeline parallelism: layers in stages on different devices, and batches in microbatches."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

import jax
import jax.numpy as jnp
from jax import lax
from jax.sharding import PartitionSpec as P
from jaxtyping import Array, Int

from bigmodel.experiment import PyTree
from bigmodel.partition import EXAMPLES, axis_size, constrained

AXIS = "pipeline"

Run: TypeAlias = Callable[[Array, PyTree, Int[Array, ""]], tuple[Array, PyTree]]
"""``run(x, layers, number)`` applies layers, whose arrays have a leading axis, to microbatch
``number``; it returns the output, and the other outputs of each layer."""


def pipelined(run: Run, x: Array, layers: PyTree, *, microbatches: int) -> tuple[Array, PyTree]:
    """The layers over the mesh axis ``pipeline``, by GPipe's schedule (Huang et al., 2019).

    At tick t, stage s works on microbatch ``t - s`` and sends the result to the next stage. Of
    ``microbatches + stages - 1`` ticks, a stage works in ``microbatches``.

    Args:
        run: The work of a stage.
        x: ``[batch, ...]``, the input of the first layer.
        layers: Arrays with a leading axis of layers, which the stages divide.
        microbatches: The number of parts of the batch.

    Returns:
        The output of the last layer, and the other outputs of all layers ``[layer, batch, ...]``.
    """
    stages = axis_size(AXIS)
    onward = [(stage, (stage + 1) % stages) for stage in range(stages)]
    ticks = jnp.arange(microbatches + stages - 1, dtype=jnp.int32)

    def work(layers: PyTree, queues: Array) -> tuple[Array, PyTree]:
        stage, queue = lax.axis_index(AXIS), queues[0]

        def tick(arrived: Array, now: Int[Array, ""]) -> tuple[Array, tuple[Array, PyTree]]:
            fresh = queue[jnp.minimum(now, microbatches - 1)]
            number = jnp.clip(now - stage, 0, microbatches - 1)
            y, others = run(jnp.where(stage == 0, fresh, arrived), layers, number)
            return lax.ppermute(y, AXIS, onward), (y, others)

        _, found = lax.scan(tick, jnp.zeros_like(queue[0]), ticks)
        # This stage's work on microbatch 0 was at the tick of its own number.
        y, others = jax.tree.map(
            lambda leaf: lax.dynamic_slice_in_dim(leaf, stage, microbatches), found
        )
        return y[None], jax.tree.map(lambda leaf: leaf.swapaxes(0, 1), others)

    staged = jax.shard_map(
        work,
        in_specs=P(AXIS),
        out_specs=P(AXIS),
        axis_names={AXIS},
        # As in the ring, which may be inside.
        check_vma=False,
    )
    # Only the first stage reads the batch. If all got it, its gradient would be summed over them,
    # which XLA cannot do in bfloat16 on CPU.
    parted = split(x, microbatches)
    queues = jnp.zeros((stages, *parted.shape), parted.dtype).at[0].set(parted)
    queues = constrained(queues, AXIS, None, EXAMPLES, *[None] * (x.ndim - 1))
    y, others = staged(layers, queues)
    return join(y[-1]), jax.tree.map(jax.vmap(join), others)


def split(x: Array, microbatches: int) -> Array:
    """``[batch, ...]`` to ``[microbatch, ...]``, each device keeping its own examples."""
    return x.reshape(x.shape[0] // microbatches, microbatches, *x.shape[1:]).swapaxes(0, 1)


def join(x: Array) -> Array:
    """The inverse of :func:`split`."""
    return x.swapaxes(0, 1).reshape(x.shape[0] * x.shape[1], *x.shape[2:])
