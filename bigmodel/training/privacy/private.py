"""Training that protects each example: the data, the gradients and the account of it."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, TypeAlias

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array

from bigmodel.data.poisson import Poisson
from bigmodel.experiment import (
    Batch,
    Data,
    InputError,
    Key,
    Mean,
    Metrics,
    Model,
    PyTree,
    Variables,
)
from bigmodel.frozen import FROZEN
from bigmodel.output import note
from bigmodel.training.gradients import (
    LossAndMetrics,
    check_parts,
    mean_gradients,
    split_batch,
)
from bigmodel.training.optimizers import Optimizer
from bigmodel.training.privacy.accounting import Mechanism, mechanism
from bigmodel.training.privacy.clipping import clipped_sum
from bigmodel.training.privacy.products import with_channels_last

Gradients: TypeAlias = Callable[
    [LossAndMetrics, PyTree, Variables, Batch, Key], tuple[PyTree, Metrics, Variables]
]
"""What :func:`~bigmodel.training.gradients.mean_gradients` is, of a batch in one piece."""


def protected(
    model: Model, data: Data, optimizer: Optimizer, *, steps: int
) -> tuple[Data, Gradients, Mechanism | None]:
    """Data by Poisson sampling, noisy gradients, and the account, as ``model.privacy`` asks for.

    Without it they are the data as it is, mean gradients, and None.

    Raises:
        InputError: for options under which an example would not be protected; or where the
            optimizer's parts do not divide the batch.
    """
    options = model.privacy
    if options is None:
        check_parts(data, optimizer)
        return data, partial(mean_gradients, parts=optimizer.accumulate), None
    if optimizer.accumulate > 1:
        raise InputError(
            "--optimizer.accumulate is not for private training, whose batches are worked through "
            "in parts of --privacy.microbatch examples; leave it out"
        )
    if optimizer.skip_nonfinite:
        raise InputError(
            "--optimizer.skip-nonfinite would tell whether an example had such a gradient; leave "
            "it out, for private training leaves out such examples by itself"
        )
    if data.sampled is None:
        raise InputError(
            "--privacy.epsilon protects examples that are drawn one by one, and this data makes "
            "its batches of parts of one whole"
        )
    variables = jax.eval_shape(model.init, jax.random.key(0), data.receive(data.example))
    if others := sorted(variables.keys() - {"params", FROZEN}):
        raise InputError(
            "--privacy.epsilon needs gradients of single examples, and batch normalization "
            f"({', '.join(others)}) mixes those of a batch; use a network without it"
        )
    how = mechanism(options, examples=data.examples, batch_size=data.batch_size, steps=steps)
    sampled = data.sampled(Poisson(how.sampling_rate, how.rows, how.part))
    note(
        f"epsilon {options.epsilon:g} at delta {how.delta:.3g} for each of {how.examples:,} "
        f"training examples: noise of {how.noise_multiplier:g} times the clip, {steps:,} steps of "
        f"{data.batch_size:,} examples on average. It holds for the parameters, and not for what "
        f"is measured on examples, nor for what assets/ says of them: {_names(data)}"
    )
    gradients = noisy_gradients(how, data.batch_size)
    data = data._replace(train=sampled, batch_size=how.rows)
    return data, gradients, how._replace(data=data.fingerprint)


def noisy_gradients(how: Mechanism, expected: int) -> Gradients:
    """Clipped gradients of single examples, their noisy sum over the ``expected`` number of them.

    ``(sum of clip(g) + noise_multiplier * clip * N(0, 1)) / expected`` (Abadi et al., 2016), where
    the gradient of an example is that of its mean loss. Divided by the number that is expected and
    not by that of the batch, which would say something of who is in it. Metrics are those of the
    examples, and ``clipped``, the share of them with a gradient above the clip.
    """

    def gradients(
        loss: LossAndMetrics, params: PyTree, variables: Variables, batch: Batch, key: Key
    ) -> tuple[PyTree, Metrics, Variables]:
        weight = jnp.asarray(batch["weight"])
        real = jnp.any(weight > 0, axis=tuple(range(1, weight.ndim)))
        rows = (dict(batch), jax.random.split(key, len(weight)), real)
        parts = len(weight) // how.part
        split = jax.tree.map(lambda array: split_batch(jnp.asarray(array), parts), rows)

        def of_one(params: PyTree, example: PyTree) -> tuple[Array, Metrics]:
            one, key = example
            mean, metrics, _ = loss(params, variables, jax.tree.map(lambda a: a[None], one), key)
            return mean.total / jnp.where(mean.count > 0, mean.count, 1.0), metrics

        clipped = with_channels_last(partial(clipped_sum, of_one, clip=how.clip))

        def add(number: Array, before: Any) -> Any:
            *examples, real = jax.tree.map(
                lambda array: jax.lax.dynamic_index_in_dim(array, number, keepdims=False), split
            )
            sums, metrics, norms = clipped(params, tuple(examples), real)
            above = Mean(jnp.sum(real & (norms > how.clip)), jnp.sum(real))
            after = (sums, {**metrics, "clipped": jax.tree.map(_float, above)})
            return jax.tree.map(jnp.add, before, after)

        first = jax.tree.map(lambda array: array[0, 0], split[:2])
        zero = jax.ShapeDtypeStruct((), jnp.float32)
        metrics = {**jax.eval_shape(of_one, params, first)[1], "clipped": Mean(zero, zero)}
        start = jax.tree.map(lambda leaf: jnp.zeros(leaf.shape, leaf.dtype), (params, metrics))
        # Parts of padding alone, which are the last, are left out.
        numbers = jnp.arange(1, parts + 1, dtype=jnp.int32)
        used = jnp.max(jnp.where(jnp.any(split[2], axis=1), numbers, 0))
        sums, metrics = jax.lax.fori_loop(0, used, add, start)
        return _noisy(sums, key, how, expected), metrics, variables

    return gradients


def _noisy(sums: PyTree, key: Key, how: Mechanism, expected: int) -> PyTree:
    leaves, structure = jax.tree.flatten(sums)
    # The examples draw other numbers from the same key, by smaller ones.
    keys = jax.random.split(jax.random.fold_in(key, 2**31 - 2), len(leaves))
    deviation = np.float32(how.noise_multiplier * how.clip)
    noisy = [
        (leaf + deviation * jax.random.normal(one, leaf.shape, leaf.dtype)) / expected
        for leaf, one in zip(leaves, keys, strict=True)
    ]
    return jax.tree.unflatten(structure, noisy)


def _float(array: Array) -> Array:
    return array.astype(jnp.float32)


def _names(data: Data) -> str:
    return ", ".join(sorted(data.assets)) or "none"
