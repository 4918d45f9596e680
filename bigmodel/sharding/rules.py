"""Partition rules by parameter path, applied to a whole state."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from jax.sharding import Mesh, NamedSharding, PartitionSpec

from bigmodel.experiment import InputError, PyTree, Rules, State
from bigmodel.partition import batch_rules, spec_of
from bigmodel.tree import map_named, named_leaves

SPLITTING = ("tensor", "sequence", "expert", "pipeline")
"""The mesh axes that need a model which has something to split over them."""


def check_covered(rules: Rules, params: PyTree) -> None:
    """Raises ValueError where a parameter matches no rule, naming it."""
    for path, leaf in named_leaves(params).items():
        if spec_of(rules, path, leaf.ndim) is None:
            raise ValueError(
                f"no partition rule covers the parameter {path} with {leaf.ndim} axes; "
                "add one to the model's rules"
            )


def state_shardings(mesh: Mesh, rules: Rules, state: State) -> PyTree:
    """A sharding for each leaf of a state.

    Optimizer states and averages hold trees like the parameters, so their paths end like
    the parameters' and the same rules find them. What no rule finds, such as a counter, is
    replicated; so is an axis that the mesh does not divide, or does not have.

    Args:
        mesh: the devices.
        rules: pairs of path pattern and partition spec.
        state: arrays or shapes (``jax.eval_shape``).

    Raises:
        ValueError: where a parameter matches no rule.
        InputError: where an axis of the mesh, other than for the batch, splits no parameter.
    """
    check_covered(rules, state.params)

    def sharding(path: str, leaf: Any) -> NamedSharding:
        spec = spec_of(rules, path, leaf.ndim) or PartitionSpec()
        return NamedSharding(mesh, _divisible(mesh, spec, leaf.shape))

    shardings = map_named(sharding, state)
    _check_used(mesh, rules, [leaf.spec for leaf in named_leaves(shardings.params).values()])
    return shardings


def _check_used(mesh: Mesh, rules: Rules, found: Sequence[PartitionSpec]) -> None:
    """Devices of an axis that splits nothing would all do the same work."""
    splits_batch = [spec for _, spec in batch_rules(rules)]
    for axis in SPLITTING:
        if axis not in mesh.shape or axis in _names(*found, *splits_batch):
            continue
        option = f"--mesh.{axis} {mesh.shape[axis]}"
        if axis in _names(*(spec for _, spec in rules)):
            raise InputError(f"{option} divides nothing that this model splits; use another")
        stacked = " (layers are split where --model.scan stacks them)" if axis == "pipeline" else ""
        raise InputError(
            f"{option}: with these options this model has nothing to split over it{stacked}; "
            "leave it out"
        )


def _names(*specs: PartitionSpec) -> set[str]:
    """The mesh axes that specs mention."""
    return {
        name
        for spec in specs
        for names in spec
        for name in ((names,) if isinstance(names, str) else names or ())
    }


def gathered_shardings(mesh: Mesh, rules: Rules, params: PyTree) -> PyTree:
    """How each parameter is laid out while a step computes: whole over ``fsdp``.

    Stacked layers, whose first axis is split over ``pipeline``, are left as they are: their
    model gathers one at a time. Of the others XLA would spread the layout over the
    activations, whose batch is already split over the same devices, and move them back and
    forth.
    """

    def sharding(path: str, leaf: Any) -> NamedSharding:
        spec = spec_of(rules, path, leaf.ndim) or PartitionSpec()
        stacked = bool(spec) and spec[0] == "pipeline"
        spec = _divisible(mesh, spec, leaf.shape)
        if stacked:
            return NamedSharding(mesh, spec)
        return NamedSharding(mesh, PartitionSpec(*(_without_fsdp(names) for names in spec)))

    return map_named(sharding, params)


def _without_fsdp(names: str | tuple[str, ...] | None) -> str | tuple[str, ...] | None:
    if isinstance(names, tuple):
        return tuple(name for name in names if name != "fsdp") or None
    return None if names == "fsdp" else names


def _divisible(mesh: Mesh, spec: PartitionSpec, shape: tuple[int, ...]) -> PartitionSpec:
    """The spec without the axes that the mesh lacks or that do not divide their dimension."""
    kept = []
    for size, names in zip(shape, spec, strict=False):
        group = (names,) if isinstance(names, str) else tuple(names or ())
        group = tuple(name for name in group if name in mesh.shape)
        parts = math.prod(mesh.shape[name] for name in group)
        fitting = group if size % parts == 0 else ()
        kept.append(fitting[0] if len(fitting) == 1 else fitting or None)
    return PartitionSpec(*kept)
