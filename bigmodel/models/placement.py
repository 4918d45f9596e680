"""Where arrays are, on the mesh in whose context a model is traced."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TypeAlias

import jax
from jax.sharding import PartitionSpec
from jaxtyping import Array

from bigmodel.experiment import PyTree, Rules
from bigmodel.partition import spec_of
from bigmodel.tree import map_named

Names: TypeAlias = str | tuple[str, ...] | None
"""The mesh axes over which an axis of an array is split; None for none."""

EXAMPLES = ("data", "fsdp", "expert")
"""The mesh axes over which the examples of a batch are spread."""


def axes_of_context() -> Mapping[str, int]:
    """Sizes of the mesh axes that the compiler splits arrays over; none without a mesh."""
    mesh = jax.sharding.get_abstract_mesh()
    return {name: size for name, size in mesh.shape.items() if name not in mesh.manual_axes}


def parts(name: str) -> int:
    """The size of a mesh axis, 1 where there is none of that name."""
    return axes_of_context().get(name, 1)


def placed(x: Array, *names: Names) -> Array:
    """The same array, split as told, where the mesh has more than the axes data and fsdp.

    With these alone the compiler does the same by itself. What a mesh does not have is left
    out, and of several names the last ones where they do not divide an axis.

    Args:
        x: An activation.
        names: What splits each of its axes.
    """
    axes = axes_of_context()
    if not axes.keys() - {"data", "fsdp"}:
        return x
    spec = [_fitting(size, one, axes) for size, one in zip(x.shape, names, strict=True)]
    return jax.lax.with_sharding_constraint(x, PartitionSpec(*spec))


def _fitting(size: int, names: Names, axes: Mapping[str, int]) -> tuple[str, ...] | None:
    group = [name for name in ((names,) if isinstance(names, str) else names or ()) if name in axes]
    while group and size % math.prod(axes[name] for name in group):
        group.pop()
    return tuple(group) or None


def whole_over_fsdp(params: PyTree, rules: Rules) -> PyTree:
    """Parameters laid out for use: as their rules say, but for the axis ``fsdp``."""
    axes = axes_of_context()
    if not axes:
        return params

    def gathered(path: str, leaf: Array) -> Array:
        spec = spec_of(rules, path, leaf.ndim) or PartitionSpec()
        kept = {name: size for name, size in axes.items() if name != "fsdp"}
        names = [_fitting(size, one, kept) for size, one in zip(leaf.shape, spec, strict=False)]
        return jax.lax.with_sharding_constraint(leaf, PartitionSpec(*names))

    return map_named(gathered, params)
