"""Images brought to the size for which a network was drawn."""

from __future__ import annotations

import jax.numpy as jnp
from jaxtyping import Array, Float

from bigmodel.experiment import InputError


def enlarged(
    x: Float[Array, "batch height width channel"], size: int
) -> Float[Array, "batch size size channel"]:
    """Each pixel becomes a square of as many as fit, in the middle of a border of zeros.

    Raises:
        InputError: If the images are larger than ``size`` already.
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
