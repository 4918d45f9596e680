"""Masks: which positions a position may attend to, and which are padding."""

from __future__ import annotations

import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int


def window_mask(
    queries: Int[Array, "time"],
    keys: Int[Array, "source"],
    *,
    window: int,
    after: int = 0,
    global_tokens: int = 0,
) -> Bool[Array, "time source"]:
    """True where a query may attend to a key (Beltagy et al., 2020).

    That is at its own position, the ``window - 1`` before it and the ``after`` that follow, and at
    the first ones, the global tokens; these attend to all. Where ``after`` is 0, which is causal,
    none attends to what follows. Keys of negative positions, which are the empty slots of a cache,
    are masked.
    """
    behind = queries[:, None] - keys[None, :]
    seen = (behind >= -after) & (behind < window)
    if global_tokens:
        both = (keys < global_tokens)[None, :] | (queries < global_tokens)[:, None]
        seen = seen | (both if after else both & (behind >= 0))
    return seen & (keys >= 0)[None, :]


def padding_mask(lengths: Int[Array, "batch"], time: int) -> Bool[Array, "batch time"]:
    """True at the positions of sequences of these lengths, False at their padding."""
    return jnp.arange(time, dtype=jnp.int32)[None, :] < lengths[:, None]


def masked_mean(
    x: Float[Array, "batch time width"], mask: Bool[Array, "batch time"]
) -> Float[Array, "batch width"]:
    """The mean over the positions whose mask is True; 0 where there is none."""
    counts = jnp.maximum(jnp.sum(mask, axis=1), 1).astype(x.dtype)
    return jnp.sum(jnp.where(mask[..., None], x, 0), axis=1) / counts[:, None]
