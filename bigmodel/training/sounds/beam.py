"""The likeliest letters of a recording (Graves et al., 2006; Hannun et al., 2014)."""

from __future__ import annotations

from collections import defaultdict

import numpy as np
from jaxtyping import Float, Int

Letters = tuple[int, ...]


def best_path(
    ids: Int[np.ndarray, "batch moment"], count: Int[np.ndarray, " batch"]
) -> list[Int[np.ndarray, " letter"]]:
    """The likeliest letters of moments, without repetitions, then without gaps, which are 0."""
    found = []
    for row, of in zip(ids, count, strict=True):
        real = row[:of]
        changed = np.append(True, real[1:] != real[:-1])[: len(real)]
        found.append(real[changed & (real != 0)])
    return found


def beam_search(nats: Float[np.ndarray, "moment letter"], *, width: int) -> tuple[Letters, float]:
    """The letters of the greatest probability, over all ways to place them, and its logarithm.

    It goes through the moments with the ``width`` likeliest beginnings. Of each it keeps the
    probability of those ways that end in a gap, and of those that end in its last letter.

    Args:
        nats: logarithms of the probabilities of a gap, 0, and of each letter.
        width: how many beginnings are kept.
    """
    gap, letter = 0.0, -np.inf
    beams: dict[Letters, tuple[float, float]] = {(): (gap, letter)}
    for moment in np.asarray(nats, np.float64):
        after: dict[Letters, list[float]] = defaultdict(lambda: [-np.inf, -np.inf])
        likely = np.argsort(-moment[1:], kind="stable")[:width] + 1
        for text, (gap, letter) in beams.items():
            both = np.logaddexp(gap, letter)
            after[text][0] = np.logaddexp(after[text][0], both + moment[0])
            if text:
                again = letter + moment[text[-1]]
                after[text][1] = np.logaddexp(after[text][1], again)
            for new in likely.tolist():
                before = gap if text and text[-1] == new else both
                longer = after[(*text, new)]
                longer[1] = np.logaddexp(longer[1], before + moment[new])
        best = sorted(after.items(), key=lambda item: -np.logaddexp(item[1][0], item[1][1]))[:width]
        beams = {text: (ends[0], ends[1]) for text, ends in best}
    text, ends = next(iter(beams.items()))
    return text, float(np.logaddexp(*ends))
