"""Masks: which positions a position may attend to, and which are padding."""

from __future__ import annotations

import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int


def window_mask(
    queries: Int[Array, "time"], keys: Int[Array, "source"], *, window: int
) -> Bool[Array, "time source"]:
    """True where a query may attend to a key: at its own and the ``window - 1`` positions before.

    Keys of negative positions, which are the empty slots of a cache, are masked.
    """
    behind = queries[:, None] - keys[None, :]
    return (behind >= 0) & (behind < window) & (keys >= 0)[None, :]


def padding_mask(lengths: Int[Array, "batch"], time: int) -> Bool[Array, "batch time"]:
    """True at the positions of sequences of these lengths, False at their padding."""
    return jnp.arange(time, dtype=jnp.int32)[None, :] < lengths[:, None]


def masked_mean(
    x: Float[Array, "batch time width"], mask: Bool[Array, "batch time"]
) -> Float[Array, "batch width"]:
    """The mean over the positions whose mask is True; 0 where there is none."""
    counts = jnp.maximum(jnp.sum(mask, axis=1), 1).astype(x.dtype)
    return jnp.sum(jnp.where(mask[..., None], x, 0), axis=1) / counts[:, None]
