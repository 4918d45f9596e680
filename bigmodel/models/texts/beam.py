"""Beam search for the likeliest sequences of an autoregressive decoder."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Float, Int

from bigmodel.experiment import InputError, PyTree, Size

BOUNDARY = 0
"""The token that begins, ends and pads every sequence."""

Step = Callable[[Int[Array, "rows"], Int[Array, ""], PyTree], tuple[Float[Array, "rows v"], PyTree]]
"""Maps each row's last token, its position and a state to the logits of the next token and the
next state. The first axis of every array of the state is that of the rows."""


@dataclass(frozen=True)
class Beam:
    """Options of the beam search."""

    size: int = 1
    """number of hypotheses for each source; 1 is greedy"""
    length_penalty: float = 0.6
    """power of (5 + length) / 6 by which the score is divided; 0 prefers short sequences"""

    def __post_init__(self) -> None:
        """Raises InputError for a beam without hypotheses and for a negative penalty."""
        if self.size < 1:
            raise InputError(f"--beam.size {self.size} is too small; use 1 (greedy) or more")
        if not 0 <= self.length_penalty < float("inf"):
            raise InputError(f"--beam.length-penalty {self.length_penalty} must be 0 or more")


class Found(NamedTuple):
    """The best sequence for each source, and its score.

    ``tokens`` end with the first BOUNDARY, or with the array. ``score`` is the sum of the log
    probabilities, including the BOUNDARY's, divided by the length penalty.
    """

    tokens: Int[Array, "batch length"]
    score: Float[Array, "batch"]


class _Search(NamedTuple):
    """Hypotheses so far; ``total`` are sums of log probabilities, ``sizes`` tokens in each."""

    position: Int[Array, ""]
    tokens: Int[Array, "batch beams length"]
    last: Int[Array, "batch beams"]
    total: Float[Array, "batch beams"]
    sizes: Int[Array, "batch beams"]
    ended: Array
    state: PyTree


def search(step: Step, state: PyTree, *, batch: Size, length: int, beam: Beam) -> Found:
    """The best sequences of at most ``length`` tokens (length penalty of Wu et al., 2016).

    A finished hypothesis keeps its score and competes with the others. The search stops when all
    are finished.

    Args:
        step: the decoder; it has ``batch * beam.size`` rows, in which the hypotheses of one
            source are adjacent.
        state: the decoder's state before the first token.
        batch: number of sources.
        length: largest number of tokens of a sequence, including BOUNDARY.
        beam: number of hypotheses, and length penalty.
    """
    beams = beam.size
    shape = (batch, beams)

    def unfinished(search: _Search) -> Array:
        return (search.position < length) & ~search.ended.all()

    def advance(search: _Search) -> _Search:
        logits, state = step(search.last.reshape(-1), search.position, search.state)
        gains = jax.nn.log_softmax(logits.astype(jnp.float32), axis=-1)
        vocabulary = gains.shape[-1]
        gains = gains.reshape(*shape, vocabulary)
        stay = jnp.where(jnp.arange(vocabulary, dtype=jnp.int32) == BOUNDARY, 0.0, -jnp.inf)
        gains = jnp.where(search.ended[..., None], stay[None, None], gains)
        totals = (search.total[..., None] + gains).reshape(batch, beams * vocabulary)
        total, best = lax.top_k(totals, beams)
        # Not // and %, whose care for negative numbers ONNX cannot do at a free batch size.
        parent = lax.div(best, jnp.int32(vocabulary))
        token = best - parent * vocabulary
        ended = pick(search.ended, parent)
        return _Search(
            search.position + 1,
            pick(search.tokens, parent).at[:, :, search.position].set(token),
            token,
            total,
            pick(search.sizes, parent) + (~ended).astype(jnp.int32),
            ended | (token == BOUNDARY),
            jax.tree.map(lambda rows: _select(rows, parent), state),
        )

    start = _Search(
        jnp.zeros((), jnp.int32),
        jnp.full((*shape, length), BOUNDARY, jnp.int32),
        jnp.full(shape, BOUNDARY, jnp.int32),
        # All hypotheses begin alike: continuing more than the first would make equal ones.
        jnp.broadcast_to(jnp.where(jnp.arange(beams) == 0, 0.0, -jnp.inf)[None], shape),
        jnp.zeros(shape, jnp.int32),
        jnp.zeros(shape, bool),
        state,
    )
    end = lax.while_loop(unfinished, advance, start)
    score = end.total / ((5.0 + end.sizes.astype(jnp.float32)) / 6.0) ** beam.length_penalty
    best = score.argmax(axis=1)[:, None]
    return Found(pick(end.tokens, best)[:, 0], pick(score, best)[:, 0])


def pick(array: Array, parent: Int[Array, "batch chosen"]) -> Array:
    """``array[b, parent[b, i]]`` for each ``b`` and ``i``."""
    return jax.vmap(lambda rows, chosen: rows[chosen])(array, parent)


def _select(rows: Array, parent: Int[Array, "batch beams"]) -> Array:
    """The rows of the decoder's state that belong to the selected hypotheses."""
    if parent.shape[1] == 1:
        return rows
    by_source = rows.reshape(*parent.shape, *rows.shape[1:])
    return pick(by_source, parent).reshape(rows.shape)
