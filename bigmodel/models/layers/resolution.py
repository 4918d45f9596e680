"""Images at a lower or higher resolution."""

from __future__ import annotations

import jax.numpy as jnp
from jaxtyping import Array, Float

from bigmodel.experiment import InputError
from bigmodel.models.layers.convolution import Images
from bigmodel.models.layers.extremes import larger


def max_pool(x: Images) -> Float[Array, "batch height//2 width//2 channel"]:
    """The maximum of each window of 2x2; an odd last row or column is left out.

    Choosing between neighbours has a cheaper gradient on CPUs than XLA's windowed reduction, and
    than the maximum of a reshaped array.
    """
    height, width = x.shape[1] // 2 * 2, x.shape[2] // 2 * 2
    rows = larger(x[:, :height:2, :width], x[:, 1:height:2, :width])
    return larger(rows[:, :, ::2], rows[:, :, 1::2])


def mean_pool(x: Images) -> Float[Array, "batch height//2 width//2 channel"]:
    """The mean of each window of 2x2; an odd last row or column is left out."""
    batch, height, width, channels = x.shape
    x = x[:, : height // 2 * 2, : width // 2 * 2]
    return x.reshape(batch, height // 2, 2, width // 2, 2, channels).mean(axis=(2, 4))


def enlarged(x: Images, size: int) -> Float[Array, "batch {size} {size} channel"]:
    """Images in which each pixel becomes the largest square that fits, with a border of zeros.

    Raises:
        InputError: The images are larger than ``size``.
    """
    height, width = x.shape[1:3]
    factor = size // max(height, width)
    if factor < 1:
        raise InputError(
            f"--model.resolution {size} is smaller than the images, {height}x{width}; "
            "use a larger one, or none"
        )
    x = jnp.repeat(jnp.repeat(x, factor, axis=1), factor, axis=2)
    missing = [size - factor * n for n in (height, width)]
    return jnp.pad(x, ((0, 0), *((n // 2, n - n // 2) for n in missing), (0, 0)))
