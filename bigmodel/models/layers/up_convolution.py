"""Transposed convolution of images, to twice the height and width."""

from __future__ import annotations

import flax.linen as nn
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float


class UpConv(nn.Module):
    """Transposed convolution with a 4x4 kernel that doubles height and width.

    One matrix product gives what each input pixel adds to the 4x4 outputs around it; their
    overlaps are summed along the rows, then along the columns. XLA's own transposed
    convolution is several times slower on a CPU.
    """

    features: int
    use_bias: bool
    dtype: jnp.dtype
    kernel_init: nn.initializers.Initializer = nn.initializers.normal(0.02)

    @nn.compact
    def __call__(
        self, x: Float[Array, "batch height width channel"]
    ) -> Float[Array, "batch 2*height 2*width features"]:
        """Images of twice the height and width."""
        shape = (4, 4, x.shape[-1], self.features)
        kernel = self.param("kernel", self.kernel_init, shape, jnp.float32)
        batch, height, width, channels = x.shape
        matrix = jnp.moveaxis(kernel, 2, 0).reshape(channels, -1).astype(self.dtype)
        taps = x.astype(self.dtype).reshape(-1, channels) @ matrix
        y = overlap(overlap(taps.reshape(batch, height, width, 4, 4, -1), 1), 2)
        if self.use_bias:
            bias = self.param("bias", nn.initializers.zeros, (self.features,), jnp.float32)
            y = y + bias.astype(self.dtype).reshape(1, 1, 1, -1)
        return y


def overlap(taps: Float[Array, "..."], axis: int) -> Float[Array, "..."]:
    """Sum what the inputs along ``axis``, of which there are n, add to its 2n outputs.

    Tap i of input r, on axis 3, belongs to output 2r + i - 1. What falls outside is dropped.
    """
    before, even, odd, after = (taps[:, :, :, i] for i in range(4))
    n = even.shape[axis]
    none = jnp.zeros_like(jax.lax.slice_in_dim(even, 0, 1, axis=axis))
    left = jnp.concatenate([none, jax.lax.slice_in_dim(after, 0, n - 1, axis=axis)], axis)
    right = jnp.concatenate([jax.lax.slice_in_dim(before, 1, n, axis=axis), none], axis)
    merged = jnp.stack([even + left, odd + right], axis + 1)
    return merged.reshape(*even.shape[:axis], 2 * n, *even.shape[axis + 1 :])
