"""Device meshes from options."""

from __future__ import annotations

from dataclasses import dataclass

import jax
from jax.sharding import AxisType, Mesh, NamedSharding, PartitionSpec

from bigmodel.experiment import InputError

BATCH_AXES = ("data", "fsdp")
"""The mesh axes over which the examples of a batch are spread."""


@dataclass(frozen=True)
class MeshShape:
    """How the devices are laid out. Every axis splits the batch; ``fsdp`` also the parameters."""

    data: int | None = None
    """devices that hold copies of the parameters; by default all that fsdp leaves over"""
    fsdp: int = 1
    """devices over which each parameter and its optimizer state are sharded"""

    def __post_init__(self) -> None:
        """Raises InputError for an axis without devices."""
        for axis in ("data", "fsdp"):
            size = getattr(self, axis)
            if size is not None and size < 1:
                raise InputError(f"--mesh.{axis} is {size}; it must be at least 1")


def make_mesh(shape: MeshShape) -> Mesh:
    """A mesh with the axes ``data`` and ``fsdp``, over all devices or the first ones.

    Raises:
        InputError: where an axis does not divide the devices; names the sizes that do.
    """
    devices = jax.device_count()
    plural = "device" if devices == 1 else "devices"
    _check_divides("fsdp", shape.fsdp, devices, f"the {devices} {plural}")
    left = devices // shape.fsdp
    data = left if shape.data is None else shape.data
    those = f"the {devices} {plural}" + (
        f" after --mesh.fsdp {shape.fsdp}" if left < devices else ""
    )
    _check_divides("data", data, left, those)
    return jax.make_mesh(
        (data, shape.fsdp),
        BATCH_AXES,
        axis_types=(AxisType.Auto,) * 2,
        devices=jax.devices()[: data * shape.fsdp],
    )


def batch_sharding(mesh: Mesh, batch_size: int) -> NamedSharding:
    """The first axis of every batch, spread over all devices.

    Raises:
        InputError: where the devices do not divide the batch size.
    """
    if batch_size % mesh.size:
        raise InputError(
            f"--data.batch-size {batch_size} does not divide over the {mesh.size} devices "
            f"of the mesh; use a multiple of {mesh.size}"
        )
    return NamedSharding(mesh, PartitionSpec(BATCH_AXES))


def replicated(mesh: Mesh) -> NamedSharding:
    """The same value on every device."""
    return NamedSharding(mesh, PartitionSpec())


def _check_divides(axis: str, size: int, devices: int, those: str) -> None:
    if devices % size:
        sizes = [str(n) for n in range(1, devices + 1) if devices % n == 0]
        choices = sizes[0] if len(sizes) == 1 else f"{', '.join(sizes[:-1])} or {sizes[-1]}"
        raise InputError(f"--mesh.{axis} {size} does not divide {those}; use {choices}")
