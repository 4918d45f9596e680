"""The sign-flip permutation test: whether paired differences lie about zero."""

from __future__ import annotations

import functools

import numpy as np
from jaxtyping import Float

EXACT = 24
"""Up to so many pairs all signs are counted; above that, those of ``DRAWS`` random flips."""
DRAWS = 2**16


def least_p(count: int) -> float:
    """The least p that so many pairs can have, where all differences have one sign."""
    return 2 / 2**count if count <= EXACT else 1 / DRAWS


def sign_flip(differences: Float[np.ndarray, "*rows pairs"]) -> Float[np.ndarray, "*rows"]:
    """Two-sided p of each row: the share of all signs that give a sum as far from zero or further.

    If two cells are alike, a seed's difference could as well have had the other sign, whatever
    its distribution; so p is at most a level as often as the level says (Fisher, 1935). Random
    flips have a fixed seed, and count what was found as one of them (Phipson and Smyth, 2010).
    """
    reach = np.abs(differences).sum(-1, keepdims=True)
    # Sums that differ only by rounding are the same; below them, so that no sum is the limit.
    limit = np.abs(differences.sum(-1, keepdims=True)) - 1e-9 * reach
    limit = np.nextafter(limit, -np.inf)
    count = differences.shape[-1]
    if count > EXACT:
        far = np.abs(differences @ _random_signs(count)) >= limit
        return (1 + far.sum(-1)) / DRAWS
    left, right = _sums(differences[..., : count // 2]), _sums(differences[..., count // 2 :])
    # Of the right sums, those that reach the limit with each left one: what is sorted after it.
    order = np.argsort(np.concatenate([limit - left, right], -1), -1)
    is_right = order >= left.shape[-1]
    after = right.shape[-1] - np.cumsum(is_right, -1)
    far = np.where(is_right, 0, after).sum(-1)
    return np.minimum(1.0, 2 * far / 2**count)


@functools.lru_cache(maxsize=1)
def _random_signs(count: int) -> Float[np.ndarray, "count flips"]:
    return np.random.default_rng(0).choice((-1.0, 1.0), (count, DRAWS - 1))


def _sums(differences: Float[np.ndarray, "*rows pairs"]) -> Float[np.ndarray, "*rows flips"]:
    """The sums under all signs: the empty one for no pairs."""
    sums = np.zeros((*differences.shape[:-1], 1))
    for each in np.moveaxis(differences, -1, 0):
        sums = np.concatenate([sums + each[..., None], sums - each[..., None]], -1)
    return sums
