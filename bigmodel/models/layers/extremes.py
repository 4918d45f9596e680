"""The larger and the smaller of two arrays, with gradients that no rounding loses.

The gradient of ``jnp.maximum`` and of ``jnp.max`` asks which value the result equals. Where a
compiler computes the values once more for it, and rounds otherwise, none does, and the gradient
is lost without a word. These choose instead: the first of equal values, and what is not a number.
"""

from __future__ import annotations

import jax.numpy as jnp
from jaxtyping import Array, Float

Numbers = Float[Array, "..."]


def larger(first: Numbers, second: Numbers) -> Numbers:
    """The larger of two numbers at each place of shapes that fit each other."""
    return jnp.where((second <= first) | (first != first), first, second)


def smaller(first: Numbers, second: Numbers) -> Numbers:
    """The smaller of two numbers at each place of shapes that fit each other."""
    return jnp.where((second >= first) | (first != first), first, second)


def largest(x: Float[Array, "*batch place channel"]) -> Float[Array, "*batch channel"]:
    """The largest over the last axis but one."""
    at = jnp.argmax(x, axis=-2, keepdims=True)
    return jnp.take_along_axis(x, at, axis=-2).squeeze(-2)
