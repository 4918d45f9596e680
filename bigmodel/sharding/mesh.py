"""Device meshes from options."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, fields

import jax
from jax.sharding import AxisType, Mesh, NamedSharding, PartitionSpec

from bigmodel.experiment import Batch, InputError, PyTree, Rules
from bigmodel.partition import EXAMPLES, batch_rules, spec_of
from bigmodel.sharding.slices import arrange, groups_of
from bigmodel.tree import map_named

AXES = ("data", "pipeline", "fsdp", "expert", "sequence", "tensor")
"""All axes; the devices of the first may be the farthest apart."""


@dataclass(frozen=True)
class MeshShape:
    """The layout of the devices. The axes ``data``, ``fsdp`` and ``expert`` split the batch."""

    data: int | None = None
    """number of devices with copies of the parameters; by default all that the others leave"""
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

    It has the axes ``data`` and ``fsdp``, and of the others those of more than one device.

    Args:
        shape: sizes of the axes.
        every: the devices to choose from, by default all that there are.

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
    groups = groups_of(devices, shape.slices)
    if len(groups) > 1:
        return Mesh(arrange(kept, groups), tuple(kept), axis_types=types)
    return jax.make_mesh(tuple(kept.values()), tuple(kept), axis_types=types, devices=devices)


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
