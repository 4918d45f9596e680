"""LoRA: products of low rank that are trained beside kernels (Hu et al., 2021)."""

from __future__ import annotations

import math
from collections.abc import Sequence

import jax
import jax.numpy as jnp

from bigmodel.experiment import InputError, Key, Variables
from bigmodel.frozen import FROZEN, LORA
from bigmodel.training.transfer.freezing import few, matches
from bigmodel.tree import dimensions, named_leaves, nested, repetitions


def with_factors(
    variables: Variables, key: Key, patterns: Sequence[str], *, rank: int, alpha: float
) -> Variables:
    """Variables whose frozen kernels get factors to train: ``w + alpha / rank * a @ b``.

    All factors have the axes of their kernel, so that its partition rule is theirs too. ``a`` has
    the rank in the place of the outputs, and normal numbers of variance 1 / inputs; ``b`` has it in
    the place of all inputs, and zeros, so that training begins with the kernels as they are.
    Convolutions count as one matrix from patches to outputs.

    Args:
        variables: Those of a model, what was learned in ``frozen``.
        key: Decides the random numbers.
        patterns: Path patterns of the kernels.
        rank: Columns of ``a`` and rows of ``b``.
        alpha: What the product is multiplied with, times the rank.

    Raises:
        InputError: a pattern finds no frozen parameter of two dimensions or more.
    """
    frozen = named_leaves(variables[FROZEN])
    whole = {path: leaf for path, leaf in frozen.items() if dimensions(path, leaf) >= 2}
    unused = [each for each in patterns if not any(matches([each], path) for path in whole)]
    if unused or not patterns:
        raise InputError(
            f"--init.lora {' '.join(unused)} finds no kernel; there are {few([*frozen])}"
        )
    kernels = {path: leaf for path, leaf in whole.items() if matches(patterns, path)}
    params = named_leaves(variables["params"])
    # What is made anew draws from the same key, by other numbers.
    keys = jax.random.split(jax.random.fold_in(key, 2**31 - 1), len(kernels))
    for (path, leaf), own in zip(kernels.items(), keys, strict=True):
        repeated = repetitions(path)
        inputs = math.prod(leaf.shape[repeated:-1])
        a = jax.random.normal(own, (*leaf.shape[:-1], rank), jnp.float32)
        ones = (1,) * (dimensions(path, leaf) - 2)
        b = jnp.zeros((*leaf.shape[:repeated], *ones, rank, leaf.shape[-1]), jnp.float32)
        params |= {f"{LORA}/a/{path}": a * inputs**-0.5, f"{LORA}/b/{path}": b}
    scale = jnp.asarray(alpha / rank, jnp.float32)
    kept = nested({**frozen, f"{LORA}/scale": scale})
    return {**variables, "params": nested(params), FROZEN: kept}
