"""How well images find their texts, and texts their images, over a whole split."""

from __future__ import annotations

import numpy as np
from jaxtyping import Bool, Float, Int

COUNTS = (1, 5, 10)


def recalls(
    image: Float[np.ndarray, "pair width"],
    text: Float[np.ndarray, "pair width"],
    picture: Int[np.ndarray, " pair"],
    caption: Int[np.ndarray, " pair"],
) -> dict[str, float]:
    """The shares of images and of texts that find one of their own, and what chance would find.

    ``recall_at_5`` is the share of images of which a text is among the five most similar of all
    texts that differ, ``text_recall_at_5`` that of texts of which an image is among the five most
    similar ones, ``chance_at_5`` the expectation of the first for five texts drawn at random.

    Args:
        image: the vector of the image of each pair, of length 1.
        text: that of its text.
        picture: the number of its image.
        caption: the number of its text.
    """
    _, pictures, row = np.unique(picture, return_index=True, return_inverse=True)
    _, captions, column = np.unique(caption, return_index=True, return_inverse=True)
    own = np.zeros((len(pictures), len(captions)), bool)
    own[row, column] = True
    cosines = image[pictures] @ text[captions].T
    found: dict[str, float] = {}
    for name, ranks in (("", ranks_of(cosines, own)), ("text_", ranks_of(cosines.T, own.T))):
        found |= {f"{name}recall_at_{count}": float((ranks < count).mean()) for count in COUNTS}
    return found | {f"chance_at_{count}": chance(own, count) for count in COUNTS}


def ranks_of(
    similarity: Float[np.ndarray, "query key"], own: Bool[np.ndarray, "query key"]
) -> Int[np.ndarray, " query"]:
    """How many other keys are as similar as the most similar one of a query's own, or more so."""
    best = np.where(own, similarity, -np.inf).max(axis=1, keepdims=True)
    return ((similarity >= best) & ~own).sum(axis=1)


def chance(own: Bool[np.ndarray, "query key"], count: int) -> float:
    """The mean probability that ``count`` keys drawn at random have one of a query's own.

    ``1 - prod_i (others - i) / (keys - i)``, ``i`` from 0 to below ``count``.
    """
    keys, drawn = own.shape[1], np.arange(min(count, own.shape[1]))
    others = (~own).sum(axis=1)
    missed = np.maximum(others[:, None] - drawn, 0) / (keys - drawn)
    return float(1 - missed.prod(axis=1).mean())
