"""Positions as vectors that are added to what stands there."""

from __future__ import annotations

import jax.numpy as jnp
from jaxtyping import Array, Float, Int


def sinusoidal(positions: Int[Array, "time"], *, width: int) -> Float[Array, "time width"]:
    """``sin`` and ``cos`` of ``position / 10000^(2 i / width)`` (Vaswani et al., 2017).

    Sines in the features ``2 i``, cosines in ``2 i + 1``; ``width`` is even. It goes on past any
    length.
    """
    frequencies = 10_000.0 ** (-jnp.arange(0, width, 2, dtype=jnp.float32) / width)
    angles = positions.astype(jnp.float32)[:, None] * frequencies[None, :]
    return jnp.stack([jnp.sin(angles), jnp.cos(angles)], axis=-1).reshape(-1, width)
