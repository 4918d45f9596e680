"""How well images find their texts, and texts their images, over a whole split."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float, Int

COUNTS = (1, 5, 10)
BLOCK = 1024


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
    row, column = np.unique(np.stack([row, column]), axis=1)
    images, texts = image[pictures], text[captions]
    found: dict[str, float] = {}
    for name, ranks in (
        ("", ranks_of(images, texts, row, column)),
        ("text_", ranks_of(texts, images, column, row)),
    ):
        found |= {f"{name}recall_at_{count}": float((ranks < count).mean()) for count in COUNTS}
    own = np.bincount(row, minlength=len(pictures))
    return found | {f"chance_at_{count}": chance(own, len(captions), count) for count in COUNTS}


def ranks_of(
    queries: Float[np.ndarray, "query width"],
    keys: Float[np.ndarray, "key width"],
    query: Int[np.ndarray, " pair"],
    key: Int[np.ndarray, " pair"],
) -> Int[np.ndarray, " query"]:
    """How many other keys are as similar as the most similar one of a query's own, or more so.

    Args:
        queries: vectors of length 1.
        keys: vectors of length 1.
        query: of each query and key that belong together, the number of the query.
        key: and that of the key.
    """
    ranks = np.empty(len(queries), np.int64)
    # A part at a time, for all with all may not fit the memory.
    for start in range(0, len(queries), BLOCK):
        similarity = queries[start : start + BLOCK] @ keys.T
        own = np.zeros(similarity.shape, bool)
        here = (query >= start) & (query < start + BLOCK)
        own[query[here] - start, key[here]] = True
        best = np.where(own, similarity, -np.inf).max(axis=1, keepdims=True)
        ranks[start : start + BLOCK] = ((similarity >= best) & ~own).sum(axis=1)
    return ranks


def chance(own: Int[np.ndarray, " query"], keys: int, count: int) -> float:
    """The mean probability that ``count`` keys drawn at random have one of a query's own.

    ``1 - prod_i (others - i) / (keys - i)``, ``i`` from 0 to below ``count``.
    """
    drawn = np.arange(min(count, keys))
    missed = np.maximum((keys - own)[:, None] - drawn, 0) / (keys - drawn)
    return float(1 - missed.prod(axis=1).mean())
