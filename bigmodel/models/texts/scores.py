"""What losses and metrics know of logits that are not kept."""

from __future__ import annotations

from typing import NamedTuple

from jaxtyping import Array, Float, Int


class Scores(NamedTuple):
    """What is known of the logits of each position and its target.

    ``nats`` is ``-log p(target)``, ``best`` the likeliest token, and ``even`` the mean of
    ``-log p`` over the vocabulary, which label smoothing needs.
    """

    nats: Float[Array, "batch position"]
    best: Int[Array, "batch position"]
    even: Float[Array, "batch position"]
