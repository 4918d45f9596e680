"""A dense layer whose product is one of rows."""

from __future__ import annotations

from functools import partial
from typing import Any

import flax.linen as nn
from jax import lax
from jaxtyping import Array, Float

from bigmodel.partition import axis_size


def rows_dot_general(
    x: Float[Array, "*batch features"],
    kernel: Float[Array, "in out"],
    dimensions: Any,
    **options: Any,
) -> Float[Array, "*batch products"]:
    """``lax.dot_general`` of the last axis of ``x``, whose other axes become one.

    The gradient of the kernel then contracts one axis. XLA's CPU backend writes both operands
    transposed before a product that contracts several: a fifth of a step of GPT 6x384.

    Positions that are split over the mesh axis ``sequence`` keep their axis.
    """
    if x.ndim < 3 or axis_size("sequence") > 1:
        return lax.dot_general(x, kernel, dimensions, **options)
    (_, of_kernel), _ = dimensions
    rows = x.reshape(-1, x.shape[-1])
    products = lax.dot_general(rows, kernel, (((1,), of_kernel), ((), ())), **options)
    return products.reshape(*x.shape[:-1], products.shape[-1])


Dense = partial(nn.Dense, dot_general=rows_dot_general)
"""Linen's dense layer, for inputs with an axis of time: see :func:`rows_dot_general`."""
