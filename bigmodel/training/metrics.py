"""Metrics as sums with their counts: however the data is split, they add up to one mean."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeAlias

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from bigmodel.experiment import Batch, Mean
from bigmodel.training.losses import negative_log_likelihood, weighted

Metric: TypeAlias = Callable[[Any, Batch], Mean]
"""A loss or metric: what the model gave and the batch, to a mean."""


def accuracy(logits: Float[Array, "batch classes"], batch: Batch) -> Mean:
    """The share of examples whose largest logit is that of the label."""
    correct = jnp.argmax(logits, axis=-1) == batch["label"]
    return weighted(correct.astype(jnp.float32), batch)


def token_accuracy(logits: Float[Array, "batch time vocab"], batch: Batch) -> Mean:
    """The share of tokens whose largest logit is that of the target."""
    correct = jnp.argmax(logits, axis=-1) == batch["targets"]
    return weighted(correct.astype(jnp.float32), batch)


def bits_per_char(characters: Float[np.ndarray, " vocab"]) -> Metric:
    """Bits per character of a language model, comparable across tokenizers.

    Args:
        characters: the number of characters that each token of the vocabulary stands for.

    Returns:
        The metric ``sum of -log2 p(target) / sum of characters(target)``.
    """

    def metric(logits: Float[Array, "batch time vocab"], batch: Batch) -> Mean:
        nats = weighted(negative_log_likelihood(logits, batch["targets"]), batch)
        lengths = jnp.asarray(characters, jnp.float32)[batch["targets"]]
        return Mean(nats.total / np.float32(np.log(2)), weighted(lengths, batch).total)

    return metric
