"""Partition rules by parameter path, applied to a whole state."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from jax.sharding import Mesh, NamedSharding, PartitionSpec

from bigmodel.experiment import InputError, PyTree, Rules, State
from bigmodel.partition import batch_rules, fitting, names_of, spec_of
from bigmodel.tree import map_named, named_leaves

SPLITTING = ("tensor", "sequence", "expert", "pipeline")
"""The mesh axes that only some models can be split over."""


def check_covered(rules: Rules, params: PyTree) -> None:
    """Raises ValueError for a parameter that matches no rule, naming it."""
    for path, leaf in named_leaves(params).items():
        if spec_of(rules, path, leaf.ndim) is None:
            raise ValueError(
                f"no partition rule covers the parameter {path} with {leaf.ndim} axes; "
                "add one to the model's rules"
            )


def state_shardings(mesh: Mesh, rules: Rules, state: State) -> PyTree:
    """A sharding for each leaf of a state.

    Optimizer states and averages contain trees like the parameters, so their paths end alike and
    the same rules cover them. Leaves that no rule covers, such as counters, are replicated.

    Args:
        mesh: the devices.
        rules: pairs of path pattern and partition spec.
        state: arrays or shapes (``jax.eval_shape``).

    Raises:
        ValueError: a parameter matches no rule.
        InputError: an axis of the mesh other than those of the batch splits no parameter.
    """
    check_covered(rules, state.params)

    def sharding(path: str, leaf: Any) -> NamedSharding:
        spec = spec_of(rules, path, leaf.ndim) or PartitionSpec()
        return NamedSharding(mesh, fitting(spec, leaf.shape, mesh.shape))

    shardings = map_named(sharding, state)
    _check_used(mesh, rules, [leaf.spec for leaf in named_leaves(shardings.params).values()])
    return shardings


def _check_used(mesh: Mesh, rules: Rules, found: Sequence[PartitionSpec]) -> None:
    """Devices along an axis that splits nothing would all do the same work."""
    splits_batch = [spec for _, spec in batch_rules(rules)]
    for axis in SPLITTING:
        if axis not in mesh.shape or _mentions(axis, *found, *splits_batch):
            continue
        option = f"--mesh.{axis} {mesh.shape[axis]}"
        if _mentions(axis, *(spec for _, spec in rules)):
            raise InputError(f"{option} divides nothing that this model splits; use another")
        stacked = " (layers are split where --model.scan stacks them)" if axis == "pipeline" else ""
        raise InputError(
            f"{option}: with these options this model has nothing to split over it{stacked}; "
            "leave it out"
        )


def _mentions(axis: str, *specs: PartitionSpec) -> bool:
    return any(axis in names_of(names) for spec in specs for names in spec)
