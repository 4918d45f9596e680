"""Partition rules by parameter path, applied to a whole state."""

from __future__ import annotations

import re
from typing import Any

from jax.sharding import Mesh, NamedSharding, PartitionSpec

from bigmodel.experiment import PyTree, Rules, State
from bigmodel.tree import map_named, named_leaves


def check_covered(rules: Rules, params: PyTree) -> None:
    """Raises ValueError where a parameter matches no rule, naming it."""
    for path, leaf in named_leaves(params).items():
        if _spec(rules, path, leaf.ndim) is None:
            raise ValueError(
                f"no partition rule covers the parameter {path} with {leaf.ndim} axes; "
                "add one to the model's rules"
            )


def state_shardings(mesh: Mesh, rules: Rules, state: State) -> PyTree:
    """A sharding for each leaf of a state.

    Optimizer states and averages hold trees like the parameters, so their paths end like
    the parameters' and the same rules find them. What no rule finds, such as a counter, is
    replicated; so is an axis that the mesh does not divide.

    Args:
        mesh: the devices.
        rules: pairs of path pattern and partition spec.
        state: arrays or shapes (``jax.eval_shape``).

    Raises:
        ValueError: where a parameter matches no rule.
    """
    check_covered(rules, state.params)

    def sharding(path: str, leaf: Any) -> NamedSharding:
        spec = _spec(rules, path, leaf.ndim) or PartitionSpec()
        return NamedSharding(mesh, _divisible(mesh, spec, leaf.shape))

    return map_named(sharding, state)


def gathered_shardings(mesh: Mesh, rules: Rules, params: PyTree) -> PyTree:
    """How each parameter is laid out while a step computes: whole over ``fsdp``.

    Without it XLA would spread the parameters' layout over the activations, whose batch is
    already split over the same devices, and move them back and forth.
    """

    def sharding(path: str, leaf: Any) -> NamedSharding:
        spec = _divisible(mesh, _spec(rules, path, leaf.ndim) or PartitionSpec(), leaf.shape)
        return NamedSharding(mesh, PartitionSpec(*(_without_fsdp(names) for names in spec)))

    return map_named(sharding, params)


def _without_fsdp(names: str | tuple[str, ...] | None) -> str | tuple[str, ...] | None:
    if isinstance(names, tuple):
        return tuple(name for name in names if name != "fsdp") or None
    return None if names == "fsdp" else names


def _spec(rules: Rules, path: str, axes: int) -> PartitionSpec | None:
    """The spec of the first rule that is found in the path and has no more axes than the leaf."""
    for pattern, spec in rules:
        if len(spec) <= axes and re.search(pattern, path):
            return spec
    return None


def _divisible(mesh: Mesh, spec: PartitionSpec, shape: tuple[int, ...]) -> PartitionSpec:
    """The spec without the axes that do not divide their dimension."""
    kept = []
    for size, names in zip(shape, spec, strict=False):
        group = (names,) if isinstance(names, str) else tuple(names or ())
        parts = 1
        for name in group:
            parts *= mesh.shape[name]
        kept.append(names if size % parts == 0 else None)
    return PartitionSpec(*kept)
