"""Meshes over slices or nodes with slow links between them."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from jax.experimental import mesh_utils

from bigmodel.experiment import InputError

ACROSS = ("data", "pipeline", "fsdp")
"""The axes that may span slices, the one that sends least first."""


def groups_of(devices: Sequence[Any], slices: int) -> list[list[Any]]:
    """The devices of a mesh in groups with fast links inside.

    ``slices`` is the number of equal groups, or 0 to detect them: by the devices' slice index, else
    by process if each has several devices. Processes of one device say nothing about their links,
    so they are one group, and so are all hosts of a slice of TPUs, whose links join the chips.

    Raises:
        InputError: so many slices do not divide the devices.
    """
    by_slice = _by("slice_index", devices)
    by_process = _by("process_index", devices)
    for groups in (by_slice, by_process):
        if slices and len(groups) == slices and _equal(groups):
            return groups
    if slices:
        if len(devices) % slices:
            raise InputError(
                f"--mesh.slices {slices} does not divide the {len(devices)} devices of the mesh"
            )
        share = len(devices) // slices
        return [list(devices[at : at + share]) for at in range(0, len(devices), share)]
    if len(by_slice) > 1 and _equal(by_slice):
        return by_slice
    if devices[0].platform == "tpu":
        return [list(devices)]
    if len(by_process) > 1 and _equal(by_process) and len(by_process[0]) > 1:
        return by_process
    return [list(devices)]


def arrange(axes: Mapping[str, int], groups: Sequence[Sequence[Any]]) -> np.ndarray:
    """The devices of a mesh whose axes in ``ACROSS`` span the groups, and the others do not.

    The first of these axes takes as many groups as divide it, and the next ones the rest. The equal
    groups together fill the mesh, whose axes have these sizes.

    Raises:
        InputError: the groups divide none of these axes.
    """
    outer = dict.fromkeys(axes, 1)
    left = len(groups)
    for axis in ACROSS:
        if axis in axes:
            outer[axis] = math.gcd(left, axes[axis])
            left //= outer[axis]
    if left > 1:
        given = " and ".join(f"--mesh.{axis} {axes[axis]}" for axis in ACROSS if axis in axes)
        raise InputError(
            f"{len(groups)} slices (--mesh.slices) do not divide {given}, which alone may span "
            f"them; make --mesh.data a multiple of {len(groups)}, or use --mesh.slices 1"
        )
    inner = {axis: size // outer[axis] for axis, size in axes.items()}
    # Of 16 TPUs in one axis JAX would make a ring. Those of fsdp are laid row by row.
    square = groups[0][0].platform == "tpu" and 16 == len(groups[0]) == inner.get("fsdp")
    inside = [
        mesh_utils.create_device_mesh(
            (4, 4) if square else tuple(inner.values()),
            list(group),
            allow_split_physical_axes=True,
        )
        for group in groups
    ]
    stacked = np.stack(inside).reshape(*outer.values(), *inner.values())
    count = len(inner)
    order = [place for axis in range(count) for place in (axis, count + axis)]
    return stacked.transpose(order).reshape(tuple(axes.values()))


def _by(attribute: str, devices: Sequence[Any]) -> list[list[Any]]:
    groups: dict[int, list[Any]] = {}
    for device in devices:
        groups.setdefault(getattr(device, attribute, 0), []).append(device)
    return [groups[index] for index in sorted(groups)]


def _equal(groups: Sequence[Sequence[Any]]) -> bool:
    return len({len(group) for group in groups}) == 1
