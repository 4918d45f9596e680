"""Ring attention, whose positions are split over the mesh axis ``sequence``."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax
from jax.sharding import PartitionSpec as P
from jaxtyping import Array, Float, Int

from bigmodel.models.attention.attend import (
    Heads,
    PartialAttention,
    by_head,
    combine,
    for_groups,
    grouped,
    normalized,
    partial_attention,
    ungrouped,
)
from bigmodel.models.attention.masks import window_mask
from bigmodel.partition import axis_size

AXIS = "sequence"


def ring_attend(
    query: Heads,
    key: Float[Array, "batch time shared size"],
    value: Float[Array, "batch time shared size"],
    *,
    window: int,
) -> Heads:
    """Causal attention within a window over split positions (Liu et al., 2023).

    Each device keeps its queries. Keys and values go around the ring, a device at a time: a query
    attends to those of its own device, then to those further and further behind, as far as the
    window reaches. The backward pass recomputes the scores.

    Args:
        query: Of consecutive positions.
        key: Of the same positions; as many heads or fewer, as for
            :func:`~bigmodel.models.attention.attend.attend`.
        value: Like the keys.
        window: The number of positions that one attends to, itself included.
    """
    devices = axis_size(AXIS)
    behind = min(devices - 1, -(-(window - 1) // (query.shape[1] // devices)))
    ring = partial(_ring, devices=devices, behind=behind, window=window)

    # Differentiated inside, so that no residual of the forward pass crosses the border between
    # what is split by hand and what is not.
    @jax.custom_vjp
    def whole(query: Array, key: Array, value: Array) -> Array:
        return _by_block(ring, inputs=3, outputs=1)(query, key, value)[0]

    def forward(*inputs: Array) -> tuple[Array, tuple[Array, ...]]:
        return whole(*inputs), inputs

    def backward(inputs: tuple[Array, ...], cotangent: Array) -> tuple[Array, ...]:
        def pull(*blocks: Array) -> tuple[Array, ...]:
            *heads, of_output = blocks
            return jax.vjp(ring, *heads)[1]((of_output,))

        return _by_block(pull, inputs=4, outputs=3)(*inputs, cotangent)

    whole.defvjp(forward, backward)
    return whole(query, key, value)


def _by_block(
    function: Callable[..., tuple[Array, ...]], *, inputs: int, outputs: int
) -> Callable[..., tuple[Array, ...]]:
    """The function of arrays ``[batch, time, ...]``, applied to each device's own positions."""
    heads = P(None, AXIS)
    # With the check, JAX 0.10.2 splits what is kept for the backward pass over the stages of a
    # pipeline again, inside of which this is.
    return jax.shard_map(
        function,
        in_specs=(heads,) * inputs,
        out_specs=(heads,) * outputs,
        axis_names={AXIS},
        check_vma=False,
    )


def _ring(
    query: Heads, key: Array, value: Array, *, devices: int, behind: int, window: int
) -> tuple[Heads]:
    """The work of one device, which has a block of the positions."""
    groups = query.shape[2] // key.shape[2]
    stacked = grouped(query, groups)
    onward = [(device, (device + 1) % devices) for device in range(devices)]
    own = lax.axis_index(AXIS)

    def positions(block: Int[Array, ""]) -> Int[Array, "time"]:
        length = query.shape[1]
        return block * length + jnp.arange(length, dtype=jnp.int32)

    def attend_to(keys: Array, values: Array, block: Int[Array, ""]) -> PartialAttention:
        mask = window_mask(positions(own), positions(block), window=window)
        return partial_attention(stacked, keys, values, for_groups(mask[None], groups))

    @partial(jax.checkpoint, prevent_cse=False)
    def step(
        carry: tuple[PartialAttention, Array, Array], back: Int[Array, ""]
    ) -> tuple[Any, None]:
        found, *others = carry
        keys, values = (lax.ppermute(one, AXIS, onward) for one in others)
        new = attend_to(keys, values, (own - back) % devices)
        return (combine(found, new), keys, values), None

    key, value = by_head(key), by_head(value)
    start = (attend_to(key, value, own), key, value)
    (found, *_), _ = lax.scan(step, start, jnp.arange(1, behind + 1, dtype=jnp.int32))
    return (ungrouped(normalized(found).astype(value.dtype), groups),)
