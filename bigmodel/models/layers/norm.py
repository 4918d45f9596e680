"""Normalisation over the features of a position."""

from __future__ import annotations

import flax.linen as nn
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Float


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


NORMS = {"rms": RmsNorm, "layer": LayerNorm}
