"""Updates that are skipped where something is not finite."""

from __future__ import annotations

import dataclasses
from typing import Any, NamedTuple, TypeVar

import jax
import jax.numpy as jnp
from jaxtyping import Array, Int

from bigmodel.experiment import Mean, Metrics, PyTree
from bigmodel.tree import which_finite

AnyState = TypeVar("AnyState", bound=Any)


class Skipped(NamedTuple):
    """How many updates were skipped so far, and how many of them after the last that was not."""

    total: Int[Array, ""]
    in_a_row: Int[Array, ""]


def none_skipped(limit: int) -> Skipped | None:
    """The initial counters; None where no update may be skipped."""
    return Skipped(jnp.zeros((), jnp.int32), jnp.zeros((), jnp.int32)) if limit else None


def skip_nonfinite(
    before: AnyState, after: AnyState, metrics: Metrics, gradients: PyTree, *, limit: int
) -> tuple[AnyState, Metrics, PyTree]:
    """The result of a training step, or that of none where the step was not finite.

    A step is skipped where the loss, a gradient or a new parameter is not finite, up to ``limit``
    times in a row. All of the state then keeps its values: parameters, moments, averages and
    statistics, and the step that the schedule of the learning rate goes by. Gradients are zeros,
    and metrics are of nothing (total and count 0). The metric ``skipped`` counts so far. One more
    step in a row passes through as it is, for the loop to end the run.

    Args:
        before: the state before the step, a dataclass with a field ``skipped``.
        after: the state after it.
        metrics: what the step measured, ``loss`` among it.
        gradients: those of the step.
        limit: how many steps may be skipped in a row; with 0 nothing changes.
    """
    if not limit:
        return after, metrics, gradients
    watched = jax.tree.leaves([metrics["loss"].total, gradients, after.params])
    finite = jnp.all(which_finite(watched))
    in_a_row = jnp.where(finite, 0, before.skipped.in_a_row + 1)
    passes = finite | (in_a_row > limit)
    skipped = Skipped(before.skipped.total + (~passes).astype(jnp.int32), in_a_row)
    state = jax.tree.map(lambda new, old: jnp.where(passes, new, old), after, before)
    metrics, gradients = jax.tree.map(
        lambda leaf: jnp.where(passes, leaf, jnp.zeros_like(leaf)), (dict(metrics), gradients)
    )
    count = Mean(skipped.total.astype(jnp.float32), jnp.ones((), jnp.float32))
    return dataclasses.replace(state, skipped=skipped), {**metrics, "skipped": count}, gradients
