"""What vectors of words or items say: which are near each other, and where they lie."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float, Int


def cosines(vectors: Float[np.ndarray, "row width"]) -> Float[np.ndarray, "row row"]:
    """The cosine of the angle between any two rows; 0 for a row of zeros."""
    return _unit(vectors) @ _unit(vectors).T


def neighbours(
    vectors: Float[np.ndarray, "row width"], chosen: Sequence[int], *, count: int
) -> Int[np.ndarray, "chosen count"]:
    """The rows with the largest cosine to each chosen row, the nearest first, without itself."""
    unit = _unit(vectors)
    similarity = unit[list(chosen)] @ unit.T
    similarity[np.arange(len(chosen)), list(chosen)] = -np.inf
    return np.argsort(-similarity, axis=1, kind="stable")[:, : min(count, len(vectors) - 1)]


def principal_plane(
    vectors: Float[np.ndarray, "row width"],
) -> tuple[Float[np.ndarray, "row 2"], Float[np.ndarray, "2"]]:
    """The rows along the two directions of largest variance, and their shares of all variance.

    Where there is but one direction, the second is zero.
    """
    centred = (vectors - vectors.mean(axis=0)).astype(np.float64)
    left, singular, _ = np.linalg.svd(centred, full_matrices=False)
    share = np.square(singular) / max(float(np.square(singular).sum()), np.finfo(np.float64).tiny)
    missing = max(0, 2 - len(singular))
    points = np.pad(left[:, :2] * singular[:2], ((0, 0), (0, missing)))
    return points, np.pad(share[:2], (0, missing))


def _unit(vectors: Float[np.ndarray, "row width"]) -> Float[np.ndarray, "row width"]:
    length = np.linalg.norm(vectors, axis=1, keepdims=True)
    return vectors / np.where(length > 0, length, 1)
