"""Normalization of the features of a position, or of channels over a batch."""

from __future__ import annotations

import flax.linen as nn
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Float

from bigmodel.experiment import InputError


class RmsNorm(nn.Module):
    """``x / sqrt(mean(x^2) + epsilon) * scale`` over the features (Zhang and Sennrich, 2019).

    Computed in float32 and returned in ``dtype``. Linen's own needs implicit type promotion
    for anything but float32.
    """

    dtype: jnp.dtype
    epsilon: float = 1e-6

    @nn.compact
    def __call__(self, x: Float[Array, "*batch width"]) -> Float[Array, "*batch width"]:
        """Normalise the last axis."""
        width = x.shape[-1]
        scale = self.param("scale", nn.initializers.ones, (width,), jnp.float32)
        x = x.astype(jnp.float32)
        inverse = lax.rsqrt(jnp.mean(jnp.square(x), axis=-1, keepdims=True) + self.epsilon)
        scale = scale.reshape((1,) * (x.ndim - 1) + (width,))
        return (x * inverse * scale).astype(self.dtype)


class LayerNorm(nn.Module):
    """``(x - mean) / sqrt(variance + epsilon) * scale + bias`` over the features (Ba et al., 2016).

    Computed in float32 and returned in ``dtype``.
    """

    dtype: jnp.dtype
    epsilon: float = 1e-6

    @nn.compact
    def __call__(self, x: Float[Array, "*batch width"]) -> Float[Array, "*batch width"]:
        """Normalise the last axis."""
        width = x.shape[-1]
        shape = (1,) * (x.ndim - 1) + (width,)
        scale = self.param("scale", nn.initializers.ones, (width,), jnp.float32).reshape(shape)
        bias = self.param("bias", nn.initializers.zeros, (width,), jnp.float32).reshape(shape)
        x = x.astype(jnp.float32)
        centred = x - jnp.mean(x, axis=-1, keepdims=True)
        variance = jnp.mean(jnp.square(centred), axis=-1, keepdims=True)
        return (centred * lax.rsqrt(variance + self.epsilon) * scale + bias).astype(self.dtype)


def standardized(
    x: Float[Array, "batch height width channel"],
    mean: tuple[float, ...],
    deviation: tuple[float, ...],
) -> Float[Array, "batch height width channel"]:
    """``(x - mean) / deviation`` of each channel; what is empty is left out.

    Raises:
        InputError: There are not as many as channels.
    """
    for name, values in (("mean", mean), ("deviation", deviation)):
        if len(values) not in (0, x.shape[-1]):
            raise InputError(
                f"--model.{name} {values} must be a number for each of the {x.shape[-1]} channels"
            )
    if mean:
        x = x - jnp.array(mean, x.dtype)[None, None, None]
    if deviation:
        x = x / jnp.array(deviation, x.dtype)[None, None, None]
    return x


NORMS = {"rms": RmsNorm, "layer": LayerNorm}


def batch_norm(
    x: Float[Array, "*batch channel"],
    *,
    name: str,
    train: bool,
    dtype: jnp.dtype,
    scale: float = 1.0,
) -> Float[Array, "*batch channel"]:
    """Batch normalization of each channel (Ioffe and Szegedy, 2015).

    It adds a submodule to the compact module that calls it. The statistics are those of the
    whole batch, on however many devices, and all positions. Evaluation uses their running
    means, ``0.9 old + 0.1 new`` at each training step. ``scale`` is the initial scale.
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
