"""What a trained recommender predicts: the best items that a user has not rated."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from bigmodel.data.known_ratings import RatingReader
from bigmodel.experiment import Batch, Model, Predictor, PyTree, Ranked, Variables

BEST = 100
"""Items that are told of each user."""


def recommendation_predictor(model: Model, reader: RatingReader) -> Predictor:
    """A predictor of a user's ratings of the items that he or she has not rated.

    A new user is a mixture of the known ones: each has the weight with which normal errors of
    deviation 1 around that user's predictions give the new one's ratings,
    ``softmax(-sum_i (rating_i - prediction_i)^2 / 2)``, and predictions are averaged.

    Args:
        model: reads ``user``, ``item`` and ``tags``, gives ratings.
        reader: encodes users.
    """
    items, count = np.arange(len(reader.items), dtype=np.int32), len(reader.users)
    tags = reader.tag_table()

    def scores(variables: Variables, user: Array) -> Float[Array, " items"]:
        batch = {"user": jnp.full(items.shape, user, jnp.int32), "item": items, "tags": tags}
        return model.apply(variables, batch, train=False, key=None)[0]

    def apply(variables: Variables, batch: Batch) -> PyTree:
        def known(user: Array) -> Float[Array, " items"]:
            return scores(variables, user)

        rated, given = jnp.asarray(batch["rated"]), jnp.asarray(batch["ratings"])
        user = jnp.asarray(batch["user"])

        def mixed() -> Float[Array, "batch items"]:
            """Passes once over the known users, with the weights so far relative to the largest."""
            first = jnp.full(user.shape, -jnp.inf, jnp.float32)
            nothing = jnp.zeros(user.shape, jnp.float32)

            def add(carry: PyTree, other: Array) -> tuple[PyTree, None]:
                largest, total, average = carry
                predicted = known(other)[None]
                error = jnp.where(rated, jnp.square(given - predicted), 0)
                weight = -jnp.sum(error, axis=1) / 2
                top = jnp.maximum(largest, weight)
                old, new = jnp.exp(largest - top), jnp.exp(weight - top)
                average = old[:, None] * average + new[:, None] * predicted
                return (top, old * total + new, average), None

            start = (first, nothing, jnp.zeros(rated.shape, jnp.float32))
            (_, total, average), _ = jax.lax.scan(add, start, jnp.arange(count, dtype=jnp.int32))
            return average / total[:, None]

        new = user >= count
        own = jax.lax.map(known, user)
        found = jax.lax.cond(
            jnp.any(new), lambda: jnp.where(new[:, None], mixed(), own), lambda: own
        )
        score, best = jax.lax.top_k(jnp.where(rated, -jnp.inf, found), min(BEST, len(items)))
        return {"item": best, "rating": score}

    def decode(outputs: PyTree) -> list[Any]:
        return [
            {"items": _ranked(reader, items, ratings)}
            for items, ratings in zip(outputs["item"], outputs["rating"], strict=True)
        ]

    answer = f"the best {BEST} items not yet rated, with the ratings to expect"
    return Predictor(reader.encode, apply, decode, reader.kind, reader.inputs, answer)


def _ranked(reader: RatingReader, items: np.ndarray, ratings: np.ndarray) -> Ranked:
    """Ratings by title; of several items with one title, by title and item."""
    found = Ranked()
    for item, rating in zip(items.tolist(), ratings.tolist(), strict=True):
        if np.isfinite(rating):
            title = reader.titles[item]
            found[f"{title} ({reader.items[item]})" if title in found else title] = rating
    return found
