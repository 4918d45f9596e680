"""Losses, metrics and reports of an ensemble: of each member, or of what all say together."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from bigmodel.experiment import Batch, Mean
from bigmodel.training.metrics import Metric
from bigmodel.training.reports import Report

Measure = TypeVar("Measure")


def of_each(metric: Metric) -> Metric:
    """The mean over members ``[member, batch, ...]`` of a metric. As a loss, all learn alone."""

    def mean(outputs: Float[Array, "member batch *shape"], batch: Batch) -> Mean:
        total, count = jax.vmap(metric, in_axes=(0, None))(outputs, batch)
        return Mean(jnp.sum(total), jnp.sum(count))

    return mean


def of_all(
    combine: Callable[[Array], Array], measure: Callable[[Any, Batch], Measure]
) -> Callable[[Any, Batch], Measure]:
    """A metric of what ``combine`` makes of all members' outputs."""
    return lambda outputs, batch: measure(combine(outputs), batch)


def report_of_all(combine: Callable[[Array], Array], report: Report) -> Report:
    """A report on what ``combine`` makes of all members' outputs."""
    gathered = {name: of_all(combine, function) for name, function in report["gathered"].items()}
    return Report(gathered=gathered, summarize=report["summarize"])


def mixture(logits: Float[Array, "member batch classes"]) -> Float[Array, "batch classes"]:
    """The logarithm of the members' mean probability of each class."""
    log_probability = jax.nn.log_softmax(logits, axis=-1)
    return jax.nn.logsumexp(log_probability, axis=0) - np.float32(np.log(len(logits)))


def average(predictions: Float[Array, "member batch"]) -> Float[Array, " batch"]:
    """The members' mean prediction."""
    return jnp.mean(predictions, axis=0)
