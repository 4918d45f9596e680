"""Sequences of different lengths in one array: which positions are no padding."""

from __future__ import annotations

import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int


def present(lengths: Int[Array, "batch"], time: int) -> Bool[Array, "batch time"]:
    """Which positions of sequences of these lengths are no padding."""
    return jnp.arange(time, dtype=jnp.int32)[None, :] < lengths[:, None]


def masked_mean(
    x: Float[Array, "batch time width"], mask: Bool[Array, "batch time"]
) -> Float[Array, "batch width"]:
    """The mean over the positions whose mask is true; 0 where there is none."""
    counts = jnp.maximum(jnp.sum(mask, axis=1), 1).astype(x.dtype)
    return jnp.sum(jnp.where(mask[..., None], x, 0), axis=1) / counts[:, None]
