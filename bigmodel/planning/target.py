"""The devices that a plan is for, which need not be attached."""

from __future__ import annotations

import importlib.util
import math
import os
from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

from bigmodel.experiment import InputError
from bigmodel.sharding.chips import Chip, find_chip

if TYPE_CHECKING:
    import jax

SQUARES = ("1x1", "2x2", "2x4", "4x4", "4x8", "8x8", "8x16", "16x16")
"""The available slices of v5e and v6e."""

LARGEST_CUBE = (16, 16, 24)
"""The largest slice of v5p; a side is 1, 2 or a multiple of 4."""

TPUS = ("v5e", "v6e", "v5p")


class Target(NamedTuple):
    """What to plan for: a number of devices, and their chip if it is known.

    ``tpu`` is the topology as libtpu calls it, empty where virtual CPU devices stand in.
    """

    name: str
    devices: int
    chip: Chip | None
    tpu: str = ""


def target(*, topology: str | None, devices: int | None, chip: str | None) -> Target:
    """Reads the target from the options: a topology, or a number of devices and perhaps their chip.

    A topology is a chip and the shape of its slice, ``v5e:8x8``, or their number, ``h100:8``.

    Raises:
        InputError: for a chip or a slice that does not exist.
    """
    if (topology is None) == (devices is None):
        raise InputError("give one of --topology, such as v5e:8x8 or h100:8, and --devices")
    if topology is None:
        assert devices is not None
        if devices < 1:
            raise InputError(f"--devices is {devices}; it must be at least 1")
        return Target(f"{devices} x {chip or 'any'}", devices, find_chip(chip) if chip else None)
    if chip is not None:
        raise InputError("--chip goes with --devices; --topology names the chip itself")
    name, _, shape = topology.partition(":")
    found = find_chip(name)
    sizes = shape.split("x")
    if not all(size.isdecimal() and int(size) > 0 for size in sizes):
        example = "v5p:4x4x4" if name == "v5p" else f"{name}:{'8x8' if name in TPUS else 8}"
        raise InputError(f"--topology {topology} has no shape; write it as {example}")
    count = math.prod(int(size) for size in sizes)
    if name in TPUS:
        _check_slice(name, shape, [int(size) for size in sizes])
    # The compiler knows no slice that is less than a host.
    exact = name in TPUS and count > 1 and importlib.util.find_spec("libtpu") is not None
    return Target(f"{count} x {name}", count, found, topology if exact else "")


def _check_slice(name: str, shape: str, sizes: Sequence[int]) -> None:
    if name != "v5p":
        if shape not in SQUARES:
            raise InputError(f"there is no slice {name}:{shape}; there are {', '.join(SQUARES)}")
        return
    fits = len(sizes) == len(LARGEST_CUBE) and all(
        size <= most and (size < 3 or size % 4 == 0)
        for size, most in zip(sorted(sizes), LARGEST_CUBE, strict=True)
    )
    if not fits:
        raise InputError(
            f"there is no slice {name}:{shape}; it has three sides, each 1, 2 or a multiple of "
            f"4, up to {'x'.join(str(most) for most in LARGEST_CUBE)}"
        )


def prepare(found: Target) -> None:
    """Sets the environment variables of JAX so that this machine's accelerators are not used."""
    os.environ["JAX_PLATFORMS"] = "cpu"
    # The partitioner warns of what the plan itself shows.
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    os.environ["JAX_NUM_CPU_DEVICES"] = "1" if found.tpu else str(found.devices)
    if found.tpu:
        # Not to ask a cloud's metadata server for a TPU that is not here.
        os.environ["TPU_SKIP_MDS_QUERY"] = "1"
        os.environ["TPU_WORKER_HOSTNAMES"] = "localhost"
        os.environ["TPU_ACCELERATOR_TYPE"] = "v5litepod-4"
        # Several plans may be made at a time, as no TPU is used.
        os.environ["ALLOW_MULTIPLE_LIBTPU_LOAD"] = "1"


def devices_of(found: Target) -> Sequence[jax.Device]:
    """The devices of a target, to compile for; raises InputError where there is no such slice."""
    import jax

    if not found.tpu:
        return jax.devices()[: found.devices]
    from jax.experimental import topologies

    try:
        described = topologies.get_topology_desc(platform="tpu", topology_name=found.tpu)
    except jax.errors.JaxRuntimeError as error:
        raise InputError(f"--topology {found.tpu}: {str(error).splitlines()[0]}") from None
    return list(described.devices)
