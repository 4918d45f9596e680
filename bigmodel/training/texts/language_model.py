"""Causal language models: their experiments, and metrics that compare across tokenizers."""

from __future__ import annotations

from collections.abc import Callable

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from bigmodel.experiment import (
    Batch,
    Data,
    Experiment,
    Mean,
    Measured,
    Model,
    Results,
    Shown,
    Variables,
    scalars,
)
from bigmodel.models.texts.scores import Scores
from bigmodel.training.metrics import Metric, negative_log_likelihood, next_token, weighted
from bigmodel.training.optimizers import Optimizer
from bigmodel.training.supervision import supervised
from bigmodel.training.teaching.distillation import Teaching, distilled, with_logits
from bigmodel.training.teaching.taught import taught
from bigmodel.training.texts.mixture import of_mixture


def language_model(
    model: Model,
    data: Data,
    characters: Float[np.ndarray, " vocab"],
    optimizer: Optimizer,
    *,
    steps: int,
    balance: float | None = None,
    teaching: Teaching | None = None,
    show: Callable[[Variables], Shown] | None = None,
) -> Experiment:
    """An experiment that learns what token follows each.

    Args:
        model: reads ``tokens``, gives logits ``[batch, time, vocab]`` or their scores, or what
            ``bigmodel.training.texts.mixture`` takes.
        data: batches with ``tokens``, ``targets`` and a ``weight`` for each token.
        characters: the number of characters that each token of the vocabulary stands for.
        optimizer: options of the Optax chain.
        steps: length of the run.
        balance: weight of the load-balancing loss of a mixture of experts; None for a model
            without experts.
        teaching: a language model of the same tokens, to learn from.
        show: figures for a person, made of the variables that are evaluated.
    """
    loss = distilled(next_token, teaching)
    metrics, nats = {"bits_per_char": bits_per_char(characters)}, "loss"
    if balance is not None:
        loss, metrics = of_mixture(loss, metrics, balance=balance)
        nats = "nats"
    experiment = supervised(
        with_logits(model, teaching),
        loss,
        metrics,
        optimizer,
        data,
        steps=steps,
        show=show,
        summarize=perplexity(nats),
    )
    return taught(experiment, teaching)


def bits_per_char(characters: Float[np.ndarray, " vocab"]) -> Metric:
    """Bits per character of a language model, comparable across tokenizers.

    Args:
        characters: the number of characters that each token of the vocabulary stands for.

    Returns:
        The metric ``sum of -log2 p(target) / sum of characters(target)``.
    """

    def metric(logits: Float[Array, "batch time vocab"] | Scores, batch: Batch) -> Mean:
        nats = weighted(negative_log_likelihood(logits, batch["targets"]), batch)
        lengths = jnp.asarray(characters, jnp.float32)[batch["targets"]]
        return Mean(nats.total / np.float32(np.log(2)), weighted(lengths, batch).total)

    return metric


def perplexity(name: str = "loss") -> Callable[[Measured], Results]:
    """The means, and ``perplexity``: e to the power of one of them, in nats per token."""

    def summarize(measured: Measured) -> Results:
        nats = measured[name]
        assert isinstance(nats, Mean)
        with np.errstate(over="ignore"):
            return {**scalars(measured), "perplexity": float(np.exp(nats.total / nats.count))}

    return summarize
