"""Batch normalization (Ioffe and Szegedy, 2015)."""

from __future__ import annotations

import flax.linen as nn
import jax.numpy as jnp
from jaxtyping import Array, Float


def batch_norm(
    x: Float[Array, "*batch channel"],
    *,
    name: str,
    train: bool,
    dtype: jnp.dtype,
    scale: float = 1.0,
) -> Float[Array, "*batch channel"]:
    """Each channel less its mean, by its deviation, over the whole batch and all positions.

    It adds a submodule to the compact module that calls it. However many devices share the
    batch, the statistics are those of all of it. Evaluation uses their running means:
    ``0.9 old + 0.1 new`` at each training step. ``scale`` is what each channel is first
    multiplied by.
    """
    norm = nn.BatchNorm(
        use_running_average=not train,
        momentum=0.9,
        use_fast_variance=False,
        scale_init=nn.initializers.constant(scale),
        name=name,
    )
    # Statistics of bfloat16 would lose most of their digits.
    return norm(x.astype(jnp.float32)).astype(dtype)
