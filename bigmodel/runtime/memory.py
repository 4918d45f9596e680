"""Checks whether a state fits into memory before anything is allocated."""

from __future__ import annotations

import os
import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import jax

from bigmodel.experiment import InputError, PyTree
from bigmodel.sharding.chips import name_of_kind
from bigmodel.tree import named_leaves


class TooLargeError(InputError):
    """The state to be trained does not fit into memory."""


def plan_command(script: Path, options: Sequence[str]) -> str:
    """The command that plans a run on as many devices as there are."""
    kind = name_of_kind(jax.devices()[0].device_kind)
    chip = "" if kind is None else f" --chip {kind}"
    words = f" -- {shlex.join(options)}" if options else ""
    devices = jax.device_count()
    return f"python launch.py plan {_short(script)} --devices {devices}{chip}{words}"


def _short(path: Path) -> Path:
    here = Path.cwd()
    return path.relative_to(here) if path.is_relative_to(here) else path


def check_fits(state: PyTree) -> None:
    """Raises TooLargeError where parameters and optimizer state alone exceed the memory.

    Args:
        state: ``jax.ShapeDtypeStruct`` leaves with their shardings.
    """
    leaves = named_leaves(state)
    devices = next(iter(leaves.values())).sharding.addressable_devices
    needed = sum(_bytes_per_device(leaf) for leaf in leaves.values())
    device = next(iter(devices))
    limit = memory_of(device)
    where = f"each {device.device_kind} device"
    if device.platform == "cpu":
        # Virtual devices share the memory of the machine.
        needed *= len(devices)
        where = "this machine"
    if limit is not None and needed > limit:
        name, largest = max(leaves.items(), key=lambda item: _bytes_per_device(item[1]))
        raise TooLargeError(
            f"parameters and optimizer state need {needed / 1e9:.1f} GB and {where} has "
            f"{limit / 1e9:.1f} GB; the largest is {name} {list(largest.shape)}: "
            "make the model smaller, or shard it by --mesh.fsdp"
        )


def memory_of(device: jax.Device) -> int | None:
    """The bytes of a device, those of the machine for the CPU; None where they are not known."""
    if device.platform == "cpu":
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return (device.memory_stats() or {}).get("bytes_limit")


def _bytes_per_device(leaf: Any) -> int:
    shape = leaf.sharding.shard_shape(leaf.shape)
    return jax.ShapeDtypeStruct(shape, leaf.dtype).size * leaf.dtype.itemsize
