"""Magnitude pruning while a network is trained (Zhu and Gupta, 2017)."""

from __future__ import annotations

import math
from collections.abc import Mapping
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
    Projection,
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
    """share of the kernels' parameters that are zero at the end, of each kernel those of the
    smallest magnitudes (Zhu and Gupta, 2017); 0 prunes none"""
    pattern: Literal["unstructured", "2:4"] = "unstructured"
    """2:4: two of each four inputs in a row of an output, as NVIDIA's sparse products want it; such
    a sparsity is 0.5, and kernels whose inputs are no multiple of four stay dense"""
    allocation: Literal["erk", "uniform"] = "erk"
    """unstructured: erk prunes kernels that have few inputs and outputs less and others more, all
    together by the sparsity (Evci et al., 2020); uniform prunes the same share of each"""
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

    def course(steps: int) -> tuple[int, int]:
        first, last = (min(round(at * steps), steps - 1) for at in (options.begin, options.end))
        return first, last

    def without_gone(tree: PyTree, params: PyTree, step: Array, steps: int) -> PyTree:
        """Zeros in the place of what was pruned before this step."""
        olds = named_leaves(params)

        def still_gone(path: str, new: Array) -> Array:
            if not chosen(path, new):
                return new
            return jnp.where(
                (olds[path] == 0) & (step > course(steps)[0]), jnp.zeros_like(new), new
            )

        return map_named(still_gone, tree)

    def pruned(before: PyTree, after: PyTree, step: Array, steps: int) -> PyTree:
        first, last = course(steps)
        passed = (step - first).astype(jnp.float32) / max(1, last - first)
        left = 1.0 - jnp.clip(passed, 0.0, 1.0)
        so_far = 1.0 - left * left * left
        leaves = named_leaves(after).items()
        shapes = {path: leaf.shape for path, leaf in leaves if chosen(path, leaf)}
        allocated = uniform if options.pattern == "2:4" else SHARES[options.allocation]
        shares = allocated(options.sparsity, shapes)
        on_time = lax.rem(step - first, jnp.int32(options.every)) == 0
        due = (step == last) | ((step >= first) & (step < last) & on_time)

        def smallest_gone(path: str, leaf: Array) -> Array:
            if not chosen(path, leaf):
                return leaf
            share = shares[path] * so_far
            remaining = REMAINING[options.pattern](jnp.abs(leaf), share, repetitions(path))
            return jnp.where(remaining, leaf, jnp.zeros_like(leaf))

        prune = partial(map_named, smallest_gone)
        params = without_gone(after, before, step, steps)
        return lax.cond(due, prune, lambda params: params, params)

    return model._replace(init=init, projection=Projection(without_gone, pruned))


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


def uniform(sparsity: float, shapes: Mapping[str, tuple[int, ...]]) -> dict[str, float]:
    """The same share of zeros for each kernel."""
    return dict.fromkeys(shapes, sparsity)


def erdos_renyi(sparsity: float, shapes: Mapping[str, tuple[int, ...]]) -> dict[str, float]:
    """The share of zeros of each kernel by path, of all together the sparsity.

    What is left of a kernel is in proportion to the sum of its axes over their product (the
    Erdos-Renyi kernel of Evci et al., 2020), and at most all of it.
    """
    sizes = {path: math.prod(shape) for path, shape in shapes.items()}
    axes = {path: shape[repetitions(path) :] for path, shape in shapes.items()}
    weights = {path: sum(each) / math.prod(each) for path, each in axes.items()}
    left = (1.0 - sparsity) * sum(sizes.values())
    shares = dict.fromkeys(shapes, 0.0)
    rest = [*shapes]
    # Those of which more than all would be left stay dense, and the others share what remains.
    while rest:
        scale = left / sum(weights[path] * sizes[path] for path in rest)
        full = {path for path in rest if scale * weights[path] >= 1.0}
        if not full:
            return shares | {path: 1.0 - scale * weights[path] for path in rest}
        left -= sum(sizes[path] for path in full)
        rest = [path for path in rest if path not in full]
    return shares


SHARES = {"uniform": uniform, "erk": erdos_renyi}
REMAINING = {"unstructured": largest, "2:4": largest_of_four}


def projected_gradients(
    model: Model, gradients: PyTree, params: PyTree, step: Array | np.ndarray, steps: int
) -> PyTree:
    """The gradients of what is trained; of a model that is not pruned those that are given."""
    if model.projection is None:
        return gradients
    return model.projection.gradients(gradients, params, jnp.asarray(step), steps)


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
    if model.projection is None:
        return after, average, {}
    params = model.projection.params(before, after, jnp.asarray(step), steps)
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
