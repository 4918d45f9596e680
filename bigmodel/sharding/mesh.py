"""Device meshes from options, and how a state and a batch are laid out over them."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Any

import jax
import numpy as np
from jax.sharding import AxisType, Mesh, NamedSharding, PartitionSpec

from bigmodel.experiment import Batch, InputError, PyTree, Rules, State
from bigmodel.partition import EXAMPLES, batch_rules, fitting, names_of, spec_of
from bigmodel.sharding.slices import arrange, groups_of
from bigmodel.tree import map_named, named_leaves

AXES = ("data", "pipeline", "fsdp", "expert", "sequence", "tensor")
"""All axes; the devices of the first may be the farthest apart."""

SPLITTING = ("tensor", "sequence", "expert", "pipeline")
"""The mesh axes that only some models can be split over."""


@dataclass(frozen=True)
class MeshShape:
    """The layout of the devices. The axes ``data``, ``fsdp`` and ``expert`` split the batch."""

    data: int | None = None
    """number of devices with copies of the parameters; by default all that the others leave,
    of a CPU as many cores as pay"""
    fsdp: int = 1
    """number of devices over which each parameter and its optimizer state are sharded"""
    tensor: int = 1
    """number of devices that share the attention heads and feed-forward networks of each layer"""
    sequence: int = 1
    """number of devices that share the positions of each sequence, in ring attention"""
    expert: int = 1
    """number of devices that share the experts of a mixture of experts"""
    pipeline: int = 1
    """number of stages of consecutive layers, through which parts of a batch go"""
    slices: int = 0
    """number of groups of devices with slow links between them, which the data axis spans; 0 to
    detect"""

    def __post_init__(self) -> None:
        """Raises InputError for an axis without devices."""
        for field in fields(self):
            size, least = getattr(self, field.name), int(field.name != "slices")
            if size is not None and size < least:
                raise InputError(f"--mesh.{field.name} is {size}; it must be at least {least}")


def make_mesh(shape: MeshShape, every: Sequence[jax.Device] | None = None) -> Mesh:
    """A mesh over all devices or the first ones.

    It has the axes ``data`` and ``fsdp``, and of the others those of more than one device. The
    devices to choose from are by default all that there are.

    Raises:
        InputError: an axis does not divide the devices; the message names the sizes that do.
    """
    devices = jax.devices() if every is None else list(every)
    left = len(devices)
    sizes: dict[str, int] = {}
    plural = "device" if left == 1 else "devices"
    those = whole = f"the {left} {plural}"
    for axis in ("fsdp", *(a for a in AXES if a not in ("data", "fsdp")), "data"):
        size = getattr(shape, axis)
        size = left if size is None else size
        _check_divides(axis, size, left, those)
        sizes[axis] = size
        left //= size
        taken = [f"--mesh.{name} {size}" for name, size in sizes.items() if size > 1]
        those = whole + (f" after {' and '.join(taken)}" if taken else "")
    kept = {axis: sizes[axis] for axis in AXES if axis in ("data", "fsdp") or sizes[axis] > 1}
    devices = devices[: math.prod(kept.values())]
    types = (AxisType.Auto,) * len(kept)
    placed = arrange(kept, groups_of(devices, shape.slices))
    return Mesh(placed, tuple(kept), axis_types=types)


def grid_of(mesh: Mesh) -> tuple[int, ...]:
    """The sides of the grid of chips that each group along ``fsdp`` fills row by row.

    Empty for what is no square and has no three sides, over which the compiler scatters at once:
    chips in a line, a rectangle, a ring or several slices, and devices that are no TPUs.
    """
    at = mesh.axis_names.index("fsdp")
    groups = np.moveaxis(mesh.devices, at, -1).reshape(-1, mesh.devices.shape[at])
    if groups[0, 0].platform != "tpu":
        return ()
    places = np.array([[device.coords for device in group] for group in groups])
    for order in itertools.permutations(range(places.shape[-1])):
        ordered = places[..., order] - places[..., order].min(axis=1, keepdims=True)
        sides = tuple(map(int, ordered[0].max(axis=0) + 1))
        if math.prod(sides) == len(groups[0]) and np.all(ordered == list(np.ndindex(*sides))):
            sides = tuple(side for side in sides if side > 1)
            return sides if len(sides) > 2 or sides[:1] == sides[1:] else ()
    return ()


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
    the same rules cover them. Leaves that no rule covers, such as counters, are replicated. Shapes
    (``jax.eval_shape``) will do for the state.

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


def batch_shardings(mesh: Mesh, rules: Rules, batch: Batch) -> PyTree:
    """A sharding for each array of a batch: its first axis is spread over ``EXAMPLES``.

    Rules of a batch may say which mesh axes split the other ones.

    Raises:
        InputError: the mesh does not divide the examples, or an axis that a rule splits.
    """
    spread = tuple(axis for axis in EXAMPLES if axis in mesh.shape)
    rules = batch_rules(rules)

    def sharding(path: str, array: jax.ShapeDtypeStruct) -> NamedSharding:
        check_batch(mesh, array.shape[0])
        spec = spec_of(rules, path, array.ndim) or PartitionSpec()
        others = [axis if axis in mesh.shape else None for axis in spec[1:]]
        for size, axis in zip(array.shape[1:], others, strict=False):
            if axis is not None and size % mesh.shape[axis]:
                raise InputError(
                    f"--mesh.{axis} {mesh.shape[axis]} does not divide the {size} positions of "
                    f"{path}; use a divisor of {size}"
                )
        while others and others[-1] is None:
            others.pop()
        return NamedSharding(mesh, PartitionSpec(spread, *others))

    return map_named(sharding, {"batch": batch})["batch"]


def check_batch(mesh: Mesh, examples: int) -> None:
    """Raises InputError where a mesh does not divide the examples of a batch."""
    parts = math.prod(mesh.shape.get(axis, 1) for axis in EXAMPLES)
    if examples % parts:
        raise InputError(
            f"--data.batch-size {examples} does not divide over the {parts} devices over which "
            f"the mesh spreads a batch; use a multiple of {parts}"
        )


def replicated(mesh: Mesh) -> NamedSharding:
    """The same value on every device."""
    return NamedSharding(mesh, PartitionSpec())


def _check_divides(axis: str, size: int, devices: int, those: str) -> None:
    if devices % size:
        sizes = [str(n) for n in range(1, devices + 1) if devices % n == 0]
        choices = sizes[0] if len(sizes) == 1 else f"{', '.join(sizes[:-1])} or {sizes[-1]}"
        raise InputError(f"--mesh.{axis} {size} does not divide {those}; use {choices}")
