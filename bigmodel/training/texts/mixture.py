"""Losses and metrics of models with a mixture of experts.

Their outputs have ``logits``, and ``probabilities`` and ``chosen``, both float32
``[batch, time, layers, experts]``: what each router thought of an expert, and 1 for those that
it chose.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import jax.numpy as jnp
from jaxtyping import Array, Float

from bigmodel.experiment import Batch, Mean
from bigmodel.training.metrics import Metric


def of_mixture(
    loss: Metric, metrics: Mapping[str, Metric], *, balance: float
) -> tuple[Metric, dict[str, Metric]]:
    """The loss and the metrics of a mixture of experts, from those of its logits.

    ``balance`` times the load-balancing loss is added to the loss. ``nats`` is the loss without
    it; ``load_balance`` and ``expert_load`` say how evenly experts are used.
    """

    def on_logits(metric: Metric) -> Metric:
        return lambda outputs, batch: metric(outputs.logits, batch)

    def objective(outputs: Any, batch: Batch) -> Mean:
        total, count = loss(outputs.logits, batch)
        added = load_balance(outputs, batch)
        return Mean(total + balance * added.total / added.count * count, count)

    named = {name: on_logits(metric) for name, metric in {**metrics, "nats": loss}.items()}
    return objective, {**named, "load_balance": load_balance, "expert_load": expert_load}


def load_balance(outputs: Any, batch: Batch) -> Mean:
    """``experts * sum_e fraction_e * probability_e``, the mean of the layers (Fedus et al., 2022).

    ``fraction_e`` is the share of the choices of a batch that fell on expert e, and
    ``probability_e`` the mean that the router gave it. 1 where the load is even, and as many as
    there are experts where one gets all.
    """
    chosen, count = _sums(outputs.chosen, batch)
    probability, _ = _sums(outputs.probabilities, batch)
    fraction = chosen / chosen.sum(axis=-1, keepdims=True)
    balance = chosen.shape[-1] * (fraction * probability / count).sum(axis=-1).mean()
    return Mean(balance * count, count)


def expert_load(outputs: Any, batch: Batch) -> Mean:
    """The load of the busiest expert of all layers in a batch, as a multiple of the even share."""
    chosen, count = _sums(outputs.chosen, batch)
    even = chosen.mean(axis=-1, keepdims=True)
    return Mean((chosen / even).max() * count, count)


def _sums(
    values: Float[Array, "batch time layers experts"], batch: Batch
) -> tuple[Float[Array, "layers experts"], Float[Array, ""]]:
    """Sums over the tokens that are not padding, and how many these are."""
    weight = jnp.asarray(batch["weight"], jnp.float32)
    return jnp.einsum("btle,bt->le", values, weight), weight.sum()
