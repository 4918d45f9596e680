"""Gradients of a mean loss, over a batch in one piece or in several."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeAlias

import jax
import jax.numpy as jnp

from bigmodel.experiment import Batch, Data, InputError, Key, Mean, Metrics, PyTree, Variables
from bigmodel.models.layers.convolution import unrolls
from bigmodel.training.optimizers import Optimizer

LossAndMetrics: TypeAlias = Callable[
    [PyTree, Variables, Batch, Key], tuple[Mean, Metrics, Variables]
]
"""From parameters, other variables, a batch and a key: the loss, all metrics, new variables."""


def mean_gradients(
    loss: LossAndMetrics,
    params: PyTree,
    variables: Variables,
    batch: Batch,
    key: Key,
    *,
    parts: int = 1,
) -> tuple[PyTree, Metrics, Variables]:
    """Gradients of the loss's mean over a batch that is cut into equal parts, which divide it.

    The parts go through a scan, or on CPUs with convolutions one after the other, so memory for
    activations is that of one part. Sums and counts are added up before they are divided, so the
    result is that of the whole batch even where parts have different weights.

    Returns:
        The gradients, the metrics, and the variables after the last part.
    """

    def total(params: PyTree, variables: Variables, batch: Batch, key: Key) -> tuple[Any, Any]:
        mean, metrics, updates = loss(params, variables, batch, key)
        return mean.total, (mean.count, metrics, {**variables, **updates})

    gradient = jax.grad(total, has_aux=True)
    if parts == 1:
        sums, (count, metrics, variables) = gradient(params, variables, batch, key)
        return _divide(sums, count), metrics, variables

    def body(carry: Variables, part: tuple[Batch, Key]) -> tuple[Variables, Any]:
        sums, (count, metrics, carry) = gradient(params, carry, *part)
        return carry, (sums, count, metrics)

    def accumulate(carry: tuple[Variables, Any], part: tuple[Batch, Key]) -> tuple[Any, None]:
        (variables, sums), (rows, key) = carry, part
        rows = _after(sums, rows) if unrolled else rows
        variables, new = body(variables, (rows, key))
        return (variables, jax.tree.map(jnp.add, sums, new)), None

    unrolled = unrolls(params)
    split = jax.tree.map(lambda x: split_batch(x, parts), batch)
    keys = jax.random.split(key, parts)
    shapes = jax.eval_shape(body, variables, jax.tree.map(lambda x: x[0], (split, keys)))[1]
    zeros = jax.tree.map(lambda x: jnp.zeros(x.shape, x.dtype), shapes)
    (variables, (sums, count, metrics)), _ = jax.lax.scan(
        accumulate, (variables, zeros), (split, keys), unroll=unrolled
    )
    return _divide(sums, count), metrics, variables


def _after(sums: PyTree, batch: Batch) -> Batch:
    """The batch, once all sums are there; XLA would otherwise compute several parts at once."""
    firsts = [leaf[(0,) * leaf.ndim].astype(jnp.float32) for leaf in jax.tree.leaves(sums)]
    finite = jnp.isfinite(sum(firsts, start=jnp.float32(0)))
    # Where they are not finite, the update will not be either.
    return jax.tree.map(lambda x: jnp.where(finite, x, jnp.zeros_like(x)), batch)


def _divide(sums: PyTree, count: jax.Array) -> PyTree:
    """The mean of sums; of a batch in which nothing counts they are zeros, and stay so."""
    count = jnp.where(count > 0, count, jnp.ones_like(count))
    return jax.tree.map(lambda x: (x / count).astype(x.dtype), sums)


def check_parts(data: Data, optimizer: Optimizer) -> None:
    """Raises InputError where the optimizer's parts do not divide the batch."""
    if data.batch_size % optimizer.accumulate:
        raise InputError(
            f"--optimizer.accumulate {optimizer.accumulate} does not divide "
            f"--data.batch-size {data.batch_size}; use a multiple of it"
        )


def split_batch(array: jax.Array, parts: int) -> jax.Array:
    """``[batch, ...]`` to ``[parts, batch / parts, ...]``, each device keeping its own rows."""
    return array.reshape(array.shape[0] // parts, parts, *array.shape[1:]).swapaxes(0, 1)


def penalty(params: PyTree, optimizer: Optimizer) -> jax.Array:
    """``l1 * sum |p| + l2 * sum p^2 / 2`` over the parameters that decay."""
    penalised = jax.tree.map(
        lambda p, decays: (
            optimizer.l1 * jnp.sum(jnp.abs(p)) + optimizer.l2 * jnp.sum(p * p) / 2.0
            if decays
            else jnp.zeros((), jnp.float32)
        ),
        params,
        optimizer.decays(params),
    )
    return sum(jax.tree.leaves(penalised), start=jnp.zeros((), jnp.float32))
