"""Magnitude pruning while a network is trained (Zhu and Gupta, 2017)."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import partial
from typing import Literal

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from bigmodel.experiment import (
    Array,
    Batch,
    InputError,
    Key,
    Mean,
    Metrics,
    Model,
    PyTree,
    Variables,
)
from bigmodel.training.compression.awareness import check_patterns
from bigmodel.training.transfer.freezing import few, matches
from bigmodel.tree import dimensions, map_named, named_leaves, repetitions


@dataclass(frozen=True)
class Prune:
    """How many of the parameters become zero in training, and when.

    Between begin and end the share of zeros is ``sparsity * (1 - (1 - t)^3)``, with ``t`` from 0 to
    1; afterwards the others are trained without them.
    """

    sparsity: float = 0.0
    """share of each kernel's parameters that are zero at the end, those of the smallest magnitudes
    (Zhu and Gupta, 2017); 0 prunes none"""
    pattern: Literal["unstructured", "2:4"] = "unstructured"
    """2:4: two of each four inputs in a row of an output, as NVIDIA's sparse products want it; such
    a sparsity is 0.5, and kernels whose inputs are no multiple of four stay dense"""
    begin: float = 0.1
    """share of the run after which the first are pruned"""
    end: float = 0.7
    """share of the run after which no more are pruned"""
    every: int = 50
    """steps between two times that some are pruned"""
    paths: tuple[str, ...] = (r"(^|/)(kernel|recurrent)$",)
    """path patterns of the parameters to prune"""

    def __post_init__(self) -> None:
        """Raises InputError for a schedule that is none."""
        if not 0 <= self.sparsity < 1:
            raise InputError(f"--prune.sparsity {self.sparsity} must be at least 0 and below 1")
        if self.pattern == "2:4" and self.sparsity not in (0, 0.5):
            raise InputError(
                f"--prune.sparsity {self.sparsity}: two of four are 0.5; use that, or another "
                "--prune.pattern"
            )
        if not 0 <= self.begin <= self.end <= 1:
            raise InputError(
                f"--prune.begin {self.begin} and --prune.end {self.end} must be shares of the run, "
                "from 0 to 1 and in this order"
            )
        if self.every < 1:
            raise InputError(f"--prune.every {self.every} is too small; use 1 or more")
        check_patterns("--prune.paths", self.paths)


def pruning(model: Model, options: Prune) -> Model:
    """The model, whose kernels lose their smallest parameters after updates.

    What is zero once stays so: the zeros are the mask. A run that is resumed therefore goes on with
    the same, and no state has more than the parameters. Its ``init`` raises InputError where no
    kernel is to be pruned.
    """
    if not options.sparsity:
        return model

    def chosen(path: str, leaf: Array) -> bool:
        if dimensions(path, leaf) < 2 or not matches(options.paths, path):
            return False
        return options.pattern != "2:4" or math.prod(leaf.shape[repetitions(path) : -1]) % 4 == 0

    def init(key: Key, batch: Batch) -> Variables:
        variables = model.init(key, batch)
        leaves = named_leaves(variables["params"])
        if not any(chosen(path, leaf) for path, leaf in leaves.items()):
            raise InputError(
                f"--prune.paths {' '.join(options.paths)} finds no kernel to prune by "
                f"{options.pattern}; there are {few([*leaves])}"
            )
        return variables

    def project(before: PyTree, after: PyTree, step: Array, steps: int) -> PyTree:
        ends = (options.begin, options.end)
        first, last = (min(round(share * steps), steps - 1) for share in ends)
        passed = (step - first).astype(jnp.float32) / max(1, last - first)
        left = 1.0 - jnp.clip(passed, 0.0, 1.0)
        share = options.sparsity * (1.0 - left * left * left)
        on_time = lax.rem(step - first, jnp.int32(options.every)) == 0
        due = (step == last) | ((step >= first) & (step < last) & on_time)

        def still_gone(path: str, old: Array, new: Array) -> Array:
            gone = (old == 0) & (step > first)
            return jnp.where(gone, jnp.zeros_like(new), new) if chosen(path, new) else new

        def smallest_gone(path: str, leaf: Array) -> Array:
            if not chosen(path, leaf):
                return leaf
            remaining = REMAINING[options.pattern](jnp.abs(leaf), share, repetitions(path))
            return jnp.where(remaining, leaf, jnp.zeros_like(leaf))

        olds = named_leaves(before)
        params = map_named(lambda path, new: still_gone(path, olds[path], new), after)
        prune = partial(map_named, smallest_gone)
        return lax.cond(due, prune, lambda params: params, params)

    return model._replace(init=init, project=project)


def largest(magnitudes: Array, share: Array, repeated: int) -> Array:
    """Where a kernel stays, if this share of it goes; of one that is repeated, of each."""
    flat = magnitudes.reshape(*magnitudes.shape[:repeated], -1)
    count = jnp.round(share * flat.shape[-1]).astype(jnp.int32)
    ordered = jnp.sort(flat, axis=-1)
    largest_gone = lax.dynamic_slice_in_dim(ordered, jnp.maximum(count - 1, 0), 1, axis=-1)
    remaining = (flat > largest_gone) | (count == 0)
    return remaining.reshape(magnitudes.shape)


def largest_of_four(magnitudes: Array, share: Array, repeated: int) -> Array:
    """Where a kernel stays, if of each four inputs this share goes, rounded to a number of them."""
    above = magnitudes.shape[:repeated]
    fours = magnitudes.reshape(*above, -1, 4, magnitudes.shape[-1])
    rank = jnp.argsort(jnp.argsort(fours, axis=-2), axis=-2)
    remaining = rank >= jnp.round(4.0 * share).astype(rank.dtype)
    return remaining.reshape(magnitudes.shape)


REMAINING = {"unstructured": largest, "2:4": largest_of_four}


def projected(
    model: Model,
    before: PyTree,
    after: PyTree,
    average: Variables | None,
    step: Array | np.ndarray,
    steps: int,
) -> tuple[PyTree, Variables | None, Metrics]:
    """The parameters after an update, their average, and the share of zeros, of a pruned model.

    Of any other it is what is given, and no metrics. The average is zero where the parameters are.
    """
    if model.project is None:
        return after, average, {}
    params = model.project(before, after, jnp.asarray(step), steps)
    if average is not None:
        sparse = jax.tree.map(
            lambda mean, new: jnp.where(new == 0, jnp.zeros_like(mean), mean),
            average["params"],
            params,
        )
        average = {**average, "params": sparse}
    kernels = [leaf for path, leaf in named_leaves(params).items() if dimensions(path, leaf) >= 2]
    zeros = sum(jnp.sum(leaf == 0, dtype=jnp.float32) for leaf in kernels)
    count = jnp.float32(sum(leaf.size for leaf in kernels))
    return params, average, {"sparsity": Mean(zeros, count)}
