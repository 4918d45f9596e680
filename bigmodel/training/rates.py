"""Learning rates of their own for parts of the parameters."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import optax

from bigmodel.experiment import InputError, PyTree
from bigmodel.partition import STACKED
from bigmodel.tree import map_named, named_leaves

BLOCK = re.compile(r"^(.*?\w)_(\d+)/|^(.*?)/" + STACKED + "/")
"""How the path of a parameter in a numbered block begins, or of a stack of blocks."""
EMBEDDING = re.compile(r"(^|/)(\w*embed\w*|positions?|token(_types)?)(/|$)")
"""Parameters below all blocks."""


def check_rate(rule: str) -> tuple[str, float]:
    """The pattern and the factor of a rule PATTERN=FACTOR; raises InputError where it is none."""
    pattern, equals, factor = rule.rpartition("=")
    try:
        re.compile(pattern)
        value = float(factor)
    except (re.error, ValueError, OverflowError):
        value = math.nan
    if not equals or not 0 <= value < math.inf:
        raise InputError(f"scale {rule} has no regex or no factor; write PATTERN=0.1")
    return pattern, value


def scale_by_rates(rules: Sequence[str], *, layer_decay: float) -> optax.GradientTransformation:
    """What :func:`with_rates` does, as a link of a chain.

    Raises:
        InputError: as it does, and already where the state is made.
    """
    scaled = partial(with_rates, rules=rules, layer_decay=layer_decay)

    def init(params: PyTree) -> optax.EmptyState:
        scaled(params)
        return optax.EmptyState()

    return optax.GradientTransformation(init, lambda updates, state, _: (scaled(updates), state))


def with_rates(updates: PyTree, *, rules: Sequence[str], layer_decay: float) -> PyTree:
    """Updates, multiplied with what the learning rate of each parameter is multiplied with.

    Args:
        updates: a tree like the parameters.
        rules: of the form PATTERN=FACTOR; the first whose pattern is found in a path counts.
        layer_decay: with ``n`` blocks, the factor of block ``i`` is its power ``n - 1 - i``, and
            that of an embedding its power ``n``; where there are several groups of blocks, such as
            an encoder and a decoder, ``n`` of an embedding is the largest (Clark et al., 2020).

    Raises:
        InputError: a pattern finds no parameter, or there are no blocks.
    """
    factors = [check_rate(rule) for rule in rules]
    paths = named_leaves(updates)
    for pattern, _ in factors:
        if not any(re.search(pattern, path) for path in paths):
            raise InputError(f"--optimizer.scale {pattern} finds no parameter")
    counts: dict[str, int] = {}
    for path, update in paths.items():
        if found := BLOCK.match(path):
            name, number, stack = found.groups()
            count = int(number) + 1 if stack is None else update.shape[_axis(path)]
            counts[name or stack] = max(count, counts.get(name or stack, 0))
    if layer_decay != 1 and not counts:
        raise InputError("--optimizer.layer-decay: this model has no numbered blocks; leave it out")

    def scaled(path: str, update: jax.Array) -> jax.Array:
        factor = next((value for pattern, value in factors if re.search(pattern, path)), 1.0)
        return update * jnp.asarray(factor * decayed(path, update.ndim), update.dtype)

    def decayed(path: str, axes: int) -> Any:
        """The power of the decay: a number, or along the axis of a stack's layers."""
        found = BLOCK.match(path)
        if layer_decay == 1 or not (found or EMBEDDING.search(path)):
            return 1.0
        if not found:
            return layer_decay ** max(counts.values())
        name, number, stack = found.groups()
        last = counts[name or stack] - 1
        if stack is None:
            return layer_decay ** (last - int(number))
        powers = layer_decay ** (last - jnp.arange(last + 1, dtype=jnp.float32))
        return powers.reshape(*(1,) * _axis(path), -1, *(1,) * (axes - _axis(path) - 1))

    return map_named(scaled, updates)


def _axis(path: str) -> int:
    """The axis of the layers in a stack; that of the members of an ensemble is before it."""
    return path.split(f"/{STACKED}/")[0].split("/").count("members")
