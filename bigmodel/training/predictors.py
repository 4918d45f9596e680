"""What trained experiments answer: a class, a number, the items to recommend."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from bigmodel.data.known_ratings import RatingReader
from bigmodel.data.texts.reading import TextReader
from bigmodel.experiment import Batch, Model, PyTree, Variables
from bigmodel.predictor import Best, Predictor, Ranked, Reader
from bigmodel.training.ensemble import SINGLE, Ensemble, classifiers, regressors

BEST = 100
"""Items that are told of each user."""


def class_predictor(
    model: Model, reader: Reader, names: Sequence[str], *, ensemble: Ensemble = SINGLE
) -> Predictor:
    """A predictor of the class of an input, with the probability of each.

    Args:
        model: reads what ``reader`` encodes, gives a logit for each class.
        reader: encodes inputs.
        names: the classes, in the order of the logits.
        ensemble: how many such networks were trained.
    """
    network = classifiers(model, ensemble)

    def apply(variables: Variables, batch: Batch) -> PyTree:
        logits, _ = network.apply(variables, batch, train=False, key=None)
        return jax.nn.softmax(logits, axis=-1)

    def decode(outputs: PyTree) -> list[Any]:
        return class_answers(np.asarray(outputs), names)

    answer = "a class, and the probability of each"
    return Predictor(
        reader.encode, apply, decode, reader.kind, reader.inputs, answer, model=network
    )


def class_answers(probabilities: np.ndarray, names: Sequence[str]) -> list[Any]:
    """The likeliest class of each row, and all by falling probability."""
    order = np.argsort(-probabilities, axis=-1, kind="stable")
    falling = np.take_along_axis(probabilities, order, axis=-1).tolist()
    return [
        {
            "class": labels[0],
            "probability": row[0],
            "probabilities": Ranked(zip(labels, row, strict=True)),
        }
        for labels, row in zip(np.array(names, object)[order].tolist(), falling, strict=True)
    ]


def vector_predictor(model: Model, reader: TextReader) -> Predictor:
    """A predictor of the vector of a text: a list of numbers for each.

    Args:
        model: reads what ``reader`` encodes, gives a vector for each row.
        reader: encodes texts.
    """

    def encode(inputs: Sequence[Any]) -> Batch:
        """Only as long as the longest text, up to a power of two: there are few shapes."""
        batch = reader.encode(inputs)
        time = 1 << int(batch["length"].max() - 1).bit_length()
        return {**batch, "tokens": batch["tokens"][:, :time]}

    def apply(variables: Variables, batch: Batch) -> PyTree:
        return model.apply(variables, batch, train=False, key=None)[0]

    def decode(outputs: PyTree) -> list[Any]:
        return np.asarray(outputs).tolist()

    return Predictor(encode, apply, decode, reader.kind, reader.inputs, "a vector of numbers")


def number_predictor(
    model: Model,
    reader: Reader,
    name: str,
    *,
    mean: float,
    scale: float,
    ensemble: Ensemble = SINGLE,
) -> Predictor:
    """A predictor of a number for each input, in the units of the data.

    Args:
        model: reads what ``reader`` encodes, gives a number for each row, or one for each step
            of a series, of which the last counts.
        reader: encodes inputs.
        name: what is predicted.
        mean: an output of 0 stands for this number,
        scale: and an output of 1 for this much more.
        ensemble: how many such networks were trained.
    """
    network = regressors(model, ensemble)

    def apply(variables: Variables, batch: Batch) -> PyTree:
        outputs, _ = network.apply(variables, batch, train=False, key=None)
        return outputs if outputs.ndim == 1 else outputs[:, -1]

    def decode(outputs: PyTree) -> list[Any]:
        return [{name: mean + scale * float(value)} for value in np.asarray(outputs)]

    return Predictor(
        reader.encode, apply, decode, reader.kind, reader.inputs, f"{name}, in its units"
    )


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


def _ranked(reader: RatingReader, items: np.ndarray, ratings: np.ndarray) -> Best:
    """Ratings by title; of several items with one title, by title and item."""
    found = Best()
    for item, rating in zip(items.tolist(), ratings.tolist(), strict=True):
        if np.isfinite(rating):
            title = reader.titles[item]
            found[f"{title} ({reader.items[item]})" if title in found else title] = rating
    return found
