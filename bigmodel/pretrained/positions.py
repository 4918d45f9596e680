"""Learned positions for texts and images of other sizes than they were learned with."""

from __future__ import annotations

import math
import re

import numpy as np
from jaxtyping import Float

SHARPNESS = -0.75
"""The free number of the cubic kernel (Keys, 1981), as PyTorch's ``interpolate`` has it."""


def fitted(path: str, found: np.ndarray, shape: tuple[int, ...]) -> np.ndarray | None:
    """A parameter in the shape of positions of another model.

    Of a text, ``positions/embedding``, it is the first so many. Of the patches of an image,
    ``position``, it is their square interpolated by cubics, as Dosovitskiy et al. (2021) do; what
    stands before the patches stays.

    Args:
        path: Of the parameter.
        found: What was learned, ``[positions, width]``.
        shape: The shape to have.

    Returns:
        The positions; None where it is none of the two, or they cannot be so many.
    """
    if found.ndim != 2 or len(shape) != 2 or found.shape[1] != shape[1]:
        return None
    old, new = len(found), shape[0]
    if re.search(r"(^|/)positions/embedding$", path) and new <= old:
        return found[:new]
    if not re.search(r"(^|/)position$", path):
        return None
    for before in (0, 1):
        sides = math.isqrt(old - before), math.isqrt(new - before)
        if min(sides) and [side**2 + before for side in sides] == [old, new]:
            resized = _resized(found[before:].astype(np.float32), *sides)
            return np.concatenate([found[:before], resized.astype(found.dtype)])
    return None


def _resized(
    rows: Float[np.ndarray, "old*old width"], old: int, new: int
) -> Float[np.ndarray, "new*new width"]:
    across = _cubic(old, new)
    grid = rows.reshape(old, old, -1)
    return np.einsum("ya,xb,abw->yxw", across, across, grid).reshape(new * new, -1)


def _cubic(old: int, new: int) -> Float[np.ndarray, "new old"]:
    """How much each of the old samples of a line adds to each new one; ends are repeated."""
    at = (np.arange(new) + 0.5) * old / new - 0.5
    nearest = np.floor(at).astype(int)
    weights = np.zeros((new, old), np.float32)
    a = SHARPNESS
    for step in (-1, 0, 1, 2):
        x = np.abs(at - nearest - step)
        near = (a + 2) * x**3 - (a + 3) * x**2 + 1
        far = a * (x**3 - 5 * x**2 + 8 * x - 4)
        to = np.clip(nearest + step, 0, old - 1)
        np.add.at(weights, (np.arange(new), to), np.where(x <= 1, near, far))
    return weights
