"""What vectors of words or items say: which are near each other, and where they lie."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import jax.numpy as jnp
import numpy as np
from jaxtyping import Float, Int

from bigmodel.data.texts.reading import WordReader
from bigmodel.experiment import Batch, PyTree, Variables
from bigmodel.predictor import Best, Predictor
from bigmodel.tree import widened

BEST = 20
ASKED = -2.0
"""In place of the cosine of a word that was asked for, below any cosine."""


def word_predictor(reader: WordReader) -> Predictor:
    """A predictor of the vector of a word or of a sum of words, and of the words near it.

    A sum is one of vectors of length 1, and its own words are not among those near it (Mikolov et
    al., 2013).
    """

    def apply(variables: Variables, batch: Batch) -> PyTree:
        table = widened(variables["params"]["centre"]["embedding"])
        length = jnp.linalg.norm(table, axis=1, keepdims=True)
        unit = table / jnp.where(length > 0, length, 1)
        first, others, signs = batch["centre"], batch["others"], batch["signs"]
        vector = unit[first] + jnp.einsum("bt,btw->bw", signs, unit[others])
        vector = vector * jnp.where(signs[:, :1] == 0, length[first], 1)
        norm = jnp.linalg.norm(vector, axis=1, keepdims=True)
        cosine = (vector / jnp.where(norm > 0, norm, 1)) @ unit.T
        every = jnp.arange(len(reader.vocabulary), dtype=first.dtype)
        asked = (others[..., None] == every[None, None]) & (signs != 0)[..., None]
        asked = asked.any(axis=1) | (first[:, None] == every[None])
        return {"vector": vector, "cosine": jnp.where(asked, ASKED, cosine)}

    def decode(outputs: PyTree) -> list[Any]:
        vectors, cosines = np.asarray(outputs["vector"]), np.asarray(outputs["cosine"])
        return [answer(*row) for row in zip(vectors, cosines, strict=True)]

    def answer(vector: np.ndarray, cosine: np.ndarray) -> dict[str, Any]:
        order = np.argsort(-cosine, kind="stable")[:BEST]
        near = {reader.vocabulary[n]: float(cosine[n]) for n in order if cosine[n] > ASKED}
        return {"neighbours": Best(near), "vector": vector.tolist()}

    what = f"the vector of each, and the {BEST} words with the largest cosine"
    return Predictor(reader.encode, apply, decode, reader.kind, reader.inputs, what)


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
