"""Encodings of positions: sinusoidal ones, which are added, and rotary ones, which rotate."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal, NamedTuple

import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from bigmodel.experiment import InputError, Size
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


def check_learned(time: Size, most: int) -> None:
    """Raises InputError for a text longer than the learned positions, which would be NaN."""
    if isinstance(time, int) and time > most:
        raise InputError(f"a text of {time} tokens is longer than the {most} learned positions")


class Rotation(NamedTuple):
    """Cosines and sines of the angles by which each position rotates each pair of features."""

    cos: Float[Array, "time half"]
    sin: Float[Array, "time half"]


@dataclass(frozen=True)
class Rotary:
    """The frequencies of rotary positions (Su et al., 2021)."""

    base: float = 10_000.0
    """pair i of the n features of a head turns by base^(-2 i / n) from a position to the next"""
    scaling: Literal["none", "linear", "llama3"] = "none"
    """for longer contexts, divide frequencies by the factor: linear all (Chen et al., 2023), llama3
    those of which few turns fit into the first training's context (Dubey et al., 2024)"""
    factor: float = 1.0
    """by which frequencies are divided"""
    low: float = 1.0
    """with llama3: turns in the context up to which a frequency is divided by the whole factor"""
    high: float = 4.0
    """with llama3: turns in the context from which on a frequency stays as it is"""
    context: int = 8192
    """with llama3: tokens that the first training read at once"""

    def __post_init__(self) -> None:
        """Raises InputError for numbers that make no frequencies."""
        for name in ("base", "factor", "low", "context"):
            value = getattr(self, name)
            if not 0 < value < math.inf:
                raise InputError(f"--model.rotary.{name} {value} must be above 0")
        if not self.low < self.high < math.inf:
            raise InputError(
                f"--model.rotary.high {self.high} must be above --model.rotary.low {self.low}"
            )


def frequencies(options: Rotary, *, size: int) -> Float[Array, "half"]:
    """The angles by which the pairs of ``size`` features turn from a position to the next.

    With ``n = frequency context / (2 pi)`` turns in the first training's context, llama3 takes
    ``frequency (s + (1 - s) / factor)``, where ``s`` is ``(n - low) / (high - low)``, at least 0
    and at most 1.
    """
    found = options.base ** (-jnp.arange(0, size, 2, dtype=jnp.float32) / size)
    if options.scaling == "linear":
        return found / options.factor
    if options.scaling == "llama3":
        turns = found * (options.context / (2 * math.pi))
        kept = jnp.clip((turns - options.low) / (options.high - options.low), 0.0, 1.0)
        return found * (kept + (1.0 - kept) / options.factor)
    return found


def rotation(positions: Int[Array, "time"], *, size: int, options: Rotary) -> Rotation:
    """The angles ``position * frequency`` of the pairs of a head's features."""
    angles = positions.astype(jnp.float32)[:, None] * frequencies(options, size=size)[None, :]
    return Rotation(jnp.cos(angles), jnp.sin(angles))


def rotate(heads: Heads, rotary: Rotation) -> Heads:
    """Rotate the pairs ``(heads[..., i], heads[..., i + size / 2])`` by their positions' angles.

    The product of two rotated vectors depends only on the distance of their positions.
    """
    cos, sin = (table.astype(heads.dtype)[None, :, None, :] for table in rotary)
    first, second = jnp.split(heads, 2, axis=-1)
    return jnp.concatenate([first * cos - second * sin, second * cos + first * sin], axis=-1)
