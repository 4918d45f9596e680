"""Losses and metrics as sums with their counts: however data is split, they add up to one mean."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeAlias

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from bigmodel.experiment import Batch, Mean
from bigmodel.models.texts.scores import Scores

Metric: TypeAlias = Callable[[Any, Batch], Mean]
"""A loss or metric: from a model's outputs and the batch to a mean."""


def weighted(values: Float[Array, "*position"], batch: Batch) -> Mean:
    """The mean of values over the entries of a batch that are not padding."""
    weight = jnp.asarray(batch["weight"], jnp.float32)
    return Mean(jnp.sum(values * weight), jnp.sum(weight))


def negative_log_likelihood(
    logits: Float[Array, "*position classes"] | Scores,
    targets: Int[Array | np.ndarray, "*position"],
) -> Float[Array, "*position"]:
    """``-log softmax(logits)[target]`` in nats, computed in float32."""
    if isinstance(logits, Scores):
        return logits.nats
    log_probabilities = jax.nn.log_softmax(logits.astype(jnp.float32), axis=-1)
    chosen = jnp.take_along_axis(log_probabilities, targets[..., None], axis=-1)
    return -jnp.squeeze(chosen, axis=-1)


def cross_entropy(logits: Float[Array, "batch classes"], batch: Batch) -> Mean:
    """Nats per example between the logits and the integer ``label``, or both of a mixed one."""
    return weighted(_of_labels(lambda label: negative_log_likelihood(logits, label), batch), batch)


def next_token(logits: Float[Array, "batch time vocab"] | Scores, batch: Batch) -> Mean:
    """Nats per token between the logits and the integer ``targets``."""
    return weighted(negative_log_likelihood(logits, batch["targets"]), batch)


def accuracy(logits: Float[Array, "batch classes"], batch: Batch) -> Mean:
    """The share of examples whose largest logit is that of the label; of mixed ones by shares."""
    best = jnp.argmax(logits, axis=-1)
    return weighted(_of_labels(lambda label: (best == label).astype(jnp.float32), batch), batch)


def _of_labels(
    values: Callable[[Int[Array | np.ndarray, " batch"]], Float[Array, " batch"]], batch: Batch
) -> Float[Array, " batch"]:
    """Values for ``label``; where examples are mixed, their mean by ``share`` and what is left."""
    own = values(batch["label"])
    if "other_label" not in batch:
        return own
    share = batch["share"]
    return share * own + (1 - share) * values(batch["other_label"])


def token_accuracy(logits: Float[Array, "batch time vocab"] | Scores, batch: Batch) -> Mean:
    """The share of tokens whose largest logit is that of the target."""
    best = logits.best if isinstance(logits, Scores) else jnp.argmax(logits, axis=-1)
    correct = best == batch["targets"]
    return weighted(correct.astype(jnp.float32), batch)
