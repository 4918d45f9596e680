"""Encodings of positions: sinusoidal ones, which are added, and rotary ones, which rotate."""

from __future__ import annotations

from typing import NamedTuple

import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from bigmodel.models.attention.attend import Heads


def sinusoidal(
    positions: Int[Array, "time"] | Float[Array, "time"], *, width: int
) -> Float[Array, "time {width}"]:
    """``sin`` and ``cos`` of ``position / 10000^(2 i / width)`` (Vaswani et al., 2017).

    Sines are the features ``2 i``, cosines the features ``2 i + 1``; ``width`` is even. There is
    no longest position.
    """
    frequencies = 10_000.0 ** (-jnp.arange(0, width, 2, dtype=jnp.float32) / width)
    angles = positions.astype(jnp.float32)[:, None] * frequencies[None, :]
    return jnp.stack([jnp.sin(angles), jnp.cos(angles)], axis=-1).reshape(-1, width)


class Rotation(NamedTuple):
    """Cosines and sines of the angles by which each position rotates each pair of features."""

    cos: Float[Array, "time half"]
    sin: Float[Array, "time half"]


def rotation(positions: Int[Array, "time"], *, size: int, base: float = 10_000.0) -> Rotation:
    """Angles ``position * base ** (-2 i / size)`` of the pairs ``i`` (Su et al., 2021)."""
    frequencies = base ** (-jnp.arange(0, size, 2, dtype=jnp.float32) / size)
    angles = positions.astype(jnp.float32)[:, None] * frequencies[None, :]
    return Rotation(jnp.cos(angles), jnp.sin(angles))


def rotate(heads: Heads, rotary: Rotation) -> Heads:
    """Rotate the pairs ``(heads[..., i], heads[..., i + size / 2])`` by their positions' angles.

    The product of two rotated vectors depends only on the distance of their positions.
    """
    cos, sin = (table.astype(heads.dtype)[None, :, None, :] for table in rotary)
    first, second = jnp.split(heads, 2, axis=-1)
    return jnp.concatenate([first * cos - second * sin, second * cos + first * sin], axis=-1)
