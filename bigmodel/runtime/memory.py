"""How large a state is, and whether it fits into memory, before anything is allocated."""

from __future__ import annotations

import math
import os
import shlex
from collections.abc import Sequence
from pathlib import Path

import jax

from bigmodel.experiment import InputError, PyTree, State
from bigmodel.sharding.chips import name_of_kind
from bigmodel.sharding.cores import are_ours
from bigmodel.tree import named_leaves


class TooLargeError(InputError):
    """The state to be trained does not fit into memory."""


def plan_command(script: Path, options: Sequence[str]) -> str:
    """The command that plans a run on as many devices as there are, or on a CPU as one."""
    kind = name_of_kind(jax.devices()[0].device_kind)
    chip = "" if kind is None else f" --chip {kind}"
    words = f" -- {shlex.join(options)}" if options else ""
    devices, here = 1 if are_ours() else jax.device_count(), Path.cwd()
    script = script.relative_to(here) if script.is_relative_to(here) else script
    return f"python launch.py plan {script} --devices {devices}{chip}{words}"


def check_fits(state: PyTree) -> None:
    """Raises TooLargeError where parameters and optimizer state, as shapes, exceed the memory."""
    leaves = named_leaves(state)
    devices = next(iter(leaves.values())).sharding.addressable_devices
    needed = bytes_per_device(state)
    device = next(iter(devices))
    limit = memory_of(device)
    where = f"each {device.device_kind} device"
    if device.platform == "cpu":
        # Virtual devices share the memory of the machine.
        needed *= len(devices)
        where = "this machine"
    if limit is not None and needed > limit:
        name, largest = max(leaves.items(), key=lambda item: bytes_per_device(item[1]))
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


def bytes_per_device(tree: PyTree) -> int:
    """The bytes of arrays, or of their shapes and shardings, on each device."""
    return sum(
        math.prod(leaf.sharding.shard_shape(leaf.shape)) * leaf.dtype.itemsize
        for leaf in jax.tree.leaves(tree)
    )


def count_parameters(state: State) -> int:
    """How many numbers are trained."""
    return sum(leaf.size for leaf in jax.tree.leaves(state.params))
