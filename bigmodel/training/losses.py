"""Losses as sums with their counts, in nats."""

from __future__ import annotations

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from bigmodel.experiment import Batch, Mean


def negative_log_likelihood(
    logits: Float[Array, "*position classes"], targets: Int[Array, "*position"]
) -> Float[Array, "*position"]:
    """``-log softmax(logits)[target]`` in nats, computed in float32."""
    log_probabilities = jax.nn.log_softmax(logits.astype(jnp.float32), axis=-1)
    chosen = jnp.take_along_axis(log_probabilities, targets[..., None], axis=-1)
    return -jnp.squeeze(chosen, axis=-1)


def weighted(values: Float[Array, "*position"], batch: Batch) -> Mean:
    """The mean of values over the entries of a batch that are not padding."""
    weight = jnp.asarray(batch["weight"], jnp.float32)
    return Mean(jnp.sum(values * weight), jnp.sum(weight))


def cross_entropy(logits: Float[Array, "batch classes"], batch: Batch) -> Mean:
    """Nats per example between the logits and the integer ``label``."""
    return weighted(negative_log_likelihood(logits, batch["label"]), batch)


def next_token(logits: Float[Array, "batch time vocab"], batch: Batch) -> Mean:
    """Nats per token between the logits and the integer ``targets``."""
    return weighted(negative_log_likelihood(logits, batch["targets"]), batch)
