"""How arrays are split over a mesh: rules by path for parameters, constraints for activations.

Rules are pairs of a regular expression and a partition spec (``bigmodel.experiment.Rules``). The
first rule decides whose expression is found anywhere in the path of a parameter
(``block_0/attention/query/kernel``) and whose spec has no more axes than the parameter. An
expression that begins with ``^batch/`` is about the arrays of a batch by their names
(``^batch/tokens$``): its spec splits their axes but the first, which is that of the examples.

Of a spec a mesh follows what it can: axes that it does not have, and those that do not divide the
axis of the array, are left out.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from contextvars import ContextVar
from typing import Any, TypeAlias

import jax
from jax.sharding import AbstractMesh, NamedSharding, PartitionSpec

from bigmodel.experiment import Array, Rules, Variables
from bigmodel.frozen import FROZEN
from bigmodel.tree import map_named

EXAMPLES = ("data", "fsdp", "expert")
"""The mesh axes over which the examples of a batch are spread."""

STACKED = "stacked"
"""The component of a path below which parameters have a leading axis of layers."""

GRID: ContextVar[tuple[int, ...]] = ContextVar("GRID", default=())
"""The sides of the grid of TPUs that ``fsdp`` fills in its order, while a program is traced.

The compiler for TPUs makes an all-reduce, which sends twice as much, of a reduce-scatter over a
whole slice of 4x4, 8x8 or 4x4x4 (libtpu 0.0.42.1); over one axis of it after the other it scatters.
"""

Names: TypeAlias = str | tuple[str, ...] | None
"""The mesh axes over which an axis of an array is split; None for none."""


def spec_of(rules: Rules, path: str, axes: int) -> PartitionSpec | None:
    """The spec that the rules give a leaf of so many axes; None where no rule is about it."""
    for pattern, spec in rules:
        if len(spec) <= axes and re.search(pattern, path):
            return spec
    return None


def rules_below(name: str, rules: Rules, *axes: str | None) -> Rules:
    """The rules for parameters that are below a path's component, and have more leading axes.

    Those of a batch stay as they are.
    """
    return [
        (pattern, spec)
        if pattern.startswith("^batch/")
        else (
            rf"(^|/){name}/" + (pattern[1:] if pattern.startswith("^") else rf".*({pattern})"),
            PartitionSpec(*axes, *spec),
        )
        for pattern, spec in rules
    ]


def batch_rules(rules: Rules) -> Rules:
    """The rules that are about arrays of a batch and not about parameters."""
    return [(pattern, spec) for pattern, spec in rules if pattern.startswith("^batch/")]


def fitting(
    spec: PartitionSpec | tuple[Names, ...], shape: tuple[int, ...], axes: Mapping[str, int]
) -> PartitionSpec:
    """As much of a spec as a mesh, whose axes have these sizes, can follow for an array."""
    kept: list[Names] = []
    for size, names in zip(shape, spec, strict=False):
        group = [name for name in names_of(names) if name in axes]
        while group and size % math.prod(axes[name] for name in group):
            group.pop()
        kept.append(group[0] if len(group) == 1 else tuple(group) or None)
    return PartitionSpec(*kept)


def names_of(names: Names) -> tuple[str, ...]:
    """The mesh axes of an entry of a spec."""
    return (names,) if isinstance(names, str) else names or ()


def axes_in_context() -> Mapping[str, int]:
    """Sizes of the mesh axes over which the compiler splits arrays; none without a mesh."""
    mesh = jax.sharding.get_abstract_mesh()
    return {name: size for name, size in mesh.shape.items() if name not in mesh.manual_axes}


def platform() -> str:
    """What is compiled for, ``cpu``, ``cuda``, ``tpu`` or another: the mesh in context, if any."""
    device: Any = jax.sharding.get_abstract_mesh().abstract_device
    device = device or jax.config.jax_default_device  # type: ignore[attr-defined]
    if not hasattr(device, "platform"):
        device = jax.devices(device)[0]
    return "cuda" if "NVIDIA" in device.device_kind else device.platform


def axis_size(name: str) -> int:
    """The size of an axis of the mesh in context, 1 where it has none of that name."""
    return axes_in_context().get(name, 1)


def constrained(x: Array, *names: Names) -> Array:
    """An activation, split over the mesh in context as its axes are told.

    With the mesh axes data and fsdp alone the compiler does the same by itself.
    """
    axes = axes_in_context()
    if not axes.keys() - {"data", "fsdp"}:
        return x
    return jax.lax.with_sharding_constraint(x, fitting(names, x.shape, axes))


def unsharded(variables: Variables, rules: Rules) -> Variables:
    """Variables for use on the mesh in context: parameters by their rules, but whole over ``fsdp``.

    Their gradients leave laid out by the rules, so that each device adds up those of its own part
    alone: stage 3 of ZeRO (Rajbhandari et al., 2020). Left to itself, XLA would spread the layout
    of the parameters over the activations, whose batch is already split over the same devices,
    and move them back and forth. A stack, which gathers its layers one at a time, stays as it is.
    """
    axes = axes_in_context()
    if axes.get("fsdp", 1) == 1:
        return variables
    without_fsdp = {name: size for name, size in axes.items() if name != "fsdp"}

    def layout(path: str, leaf: Array) -> Array:
        spec = spec_of(rules, path, leaf.ndim) or PartitionSpec()
        stored, whole = (fitting(spec, leaf.shape, each) for each in (axes, without_fsdp))
        stays = stored == whole or STACKED in path.split("/")
        return leaf if stays else _gather(leaf, whole, stored)

    parameters = {name: variables[name] for name in ("params", FROZEN) if name in variables}
    return {**variables, **{name: map_named(layout, tree) for name, tree in parameters.items()}}


def _gather(leaf: Array, whole: PartitionSpec, stored: PartitionSpec) -> Array:
    place = jax.lax.with_sharding_constraint

    @jax.custom_vjp
    def gather(leaf: Array) -> Array:
        return place(leaf, whole)

    def forward(leaf: Array) -> tuple[Array, None]:
        return place(leaf, whole), None

    def backward(_: None, gradient: Array) -> tuple[Array]:
        for layout in (*_line_by_line(stored), stored):
            gradient = place(gradient, layout)
        return (gradient,)

    gather.defvjp(forward, backward)
    gathered: Array = gather(leaf)
    return gathered


def _line_by_line(spec: PartitionSpec) -> list[NamedSharding]:
    """The layouts of a gradient on its way to a spec, as ``GRID`` says: split over few lines first.

    They are of a mesh of the same devices whose axis ``fsdp`` is one axis for each of the grid's.
    """
    sides, mesh = GRID.get(), jax.sharding.get_abstract_mesh()
    if not sides or mesh.manual_axes:
        return []
    at = mesh.axis_names.index("fsdp")
    lines = tuple(f"fsdp_{number}" for number in range(len(sides)))
    names, sizes, types = (
        (*whole[:at], *parts, *whole[at + 1 :])
        for whole, parts in (
            (mesh.axis_names, lines),
            (mesh.axis_sizes, sides),
            (mesh.axis_types, (mesh.axis_types[at],) * len(sides)),
        )
    )
    finer = AbstractMesh(sizes, names, axis_types=types)

    def over(those: tuple[str, ...]) -> NamedSharding:
        parts = {"fsdp": those}
        entries = [
            tuple(part for name in names_of(entry) for part in parts.get(name, (name,)))
            for entry in spec
        ]
        return NamedSharding(finer, PartitionSpec(*entries))

    return [over(lines[:count]) for count in range(1, len(sides))]
