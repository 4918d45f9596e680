"""The loss of word vectors: tell a word's true neighbour from random words."""

from __future__ import annotations

from collections.abc import Mapping

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from bigmodel.experiment import Batch, Mean
from bigmodel.training.metrics import weighted

Logits = Mapping[str, Float[Array, "batch ..."]]
"""Of ``context`` ``[batch]`` and of ``negatives`` ``[batch, negatives]``."""


def negative_sampling(logits: Logits, batch: Batch) -> Mean:
    """``-log sigmoid(context) - sum of log sigmoid(-negative)``, in nats per pair.

    (Mikolov et al., 2013.) A negative that happens to be the context itself does not count.
    """
    negative = jnp.where(_other(batch), jax.nn.log_sigmoid(-logits["negatives"]), 0.0)
    likelihood = jax.nn.log_sigmoid(logits["context"]) + jnp.sum(negative, axis=-1)
    return weighted(-likelihood, batch)


def ranked(logits: Logits, batch: Batch) -> Mean:
    """The share of negatives whose logit is below that of their context: 0.5 by chance."""
    other = _other(batch).astype(jnp.float32)
    below = (logits["negatives"] < logits["context"][:, None]).astype(jnp.float32)
    total = weighted(jnp.sum(below * other, axis=-1), batch).total
    return Mean(total, weighted(jnp.sum(other, axis=-1), batch).total)


def _other(batch: Batch) -> Array:
    return jnp.asarray(batch["negatives"]) != jnp.asarray(batch["context"])[:, None]
