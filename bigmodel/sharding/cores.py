"""How many devices a CPU is for an experiment, where nobody says how many.

XLA's convolutions, and the small products of a recurrent network's loop, run on one core; large
products use all. So a batch is spread over several CPU devices where most work is of the first
kind, and there is enough of it. That follows from the experiment and the number of cores, and from
no timing: so do the bits of a run.
"""

from __future__ import annotations

import dataclasses
import math
import os
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

import jax
from jax.extend.core import ClosedJaxpr, Jaxpr
from jax.sharding import Mesh

from bigmodel.experiment import Experiment, PyTree
from bigmodel.sharding.mesh import AXES, MeshShape, make_mesh

MOST = 8
"""Devices; more have not been compared with one. Each has a copy of the parameters."""
LEAST = 1 << 25
"""FLOPs of a forward pass on each device, below which the devices wait for each other instead."""
LEAST_OF_PARAMETER = 1 << 9
"""The same for each parameter, all of which every device adds up and updates."""
SMALL = 1 << 25
"""FLOPs of a product that one core computes alone."""


class Work(NamedTuple):
    """FLOPs of a program's products: all, and those that one core does while others wait."""

    flops: int = 0
    alone: int = 0


def cores() -> int:
    """The cores that this process may use."""
    affinity = getattr(os, "sched_getaffinity", None)
    return len(affinity(0)) if affinity else os.cpu_count() or 1


def are_chosen() -> bool:
    """Whether the environment says how many devices the CPU is, as ``--devices`` does."""
    flags = os.environ.get("XLA_FLAGS", "")
    return "JAX_NUM_CPU_DEVICES" in os.environ or "host_platform_device_count" in flags


def are_ours() -> bool:
    """Whether :func:`mesh_of` decides how many of the devices a run uses."""
    return jax.process_count() == 1 and jax.default_backend() == "cpu" and not are_chosen()


def count_devices(state: PyTree) -> int:
    """The number of devices that a run has, of which its state may use some, for its manifest."""
    if not are_ours():
        return jax.device_count()
    return len(jax.tree.leaves(state)[0].sharding.device_set)


def devices_before(manifest: Mapping[str, Any] | None) -> int:
    """The number of CPU devices that a run began with in one process; 0 for none."""
    if manifest is None or (manifest["device_kind"], manifest["process_count"]) != ("cpu", 1):
        return 0
    return int(manifest["device_count"])


def mesh_of(experiment: Experiment, shape: MeshShape, before: int = 0) -> Mesh:
    """The mesh of an experiment: that of :func:`make_mesh`, on a CPU over as many cores as pay.

    A run that began ``before`` with a number of devices goes on with it, if there are as many. Who
    lays out parameters by hand gets those devices and no more.

    Raises:
        InputError: an axis does not divide the devices.
    """
    if not are_ours():
        return make_mesh(shape)
    devices = jax.devices()
    others = math.prod(getattr(shape, axis) for axis in AXES if axis != "data")
    data = shape.data
    if data is None:
        known = 0 < before <= len(devices)
        data = 1 if others > 1 else before if known else worthwhile(experiment, len(devices))
    count = data * others
    if count > len(devices):
        return make_mesh(shape)
    return make_mesh(dataclasses.replace(shape, data=data), devices[:count])


def worthwhile(experiment: Experiment, most: int) -> int:
    """The number of CPU devices, up to so many, that an experiment's batches are spread over."""
    data = experiment.data
    batches = [next(iter(split), {}) for split in data.splits.values()]
    sizes = {len(array) for batch in batches for array in batch.values()} | {data.batch_size}
    even = [n for n in range(2, min(most, MOST) + 1) if not any(size % n for size in sizes)]
    if not even:
        return 1
    key = jax.eval_shape(lambda: jax.random.split(jax.random.key(0), ()))
    traced = jax.jit(experiment.init).trace(key)
    work = work_of(traced.jaxpr.jaxpr)
    if work.alone < work.flops / 2:
        return 1
    numbers = sum(leaf.size for leaf in jax.tree.leaves(traced.out_info.params))
    enough = work.flops // max(LEAST, LEAST_OF_PARAMETER * numbers)
    return max([n for n in even if n <= enough], default=1)


def work_of(jaxpr: Jaxpr, *, looped: bool = False) -> Work:
    """The work of a program; what a loop runs counts as ``looped``, once where data end it."""
    found = []
    for equation in jaxpr.eqns:
        name, params = equation.primitive.name, equation.params
        flops = flops_of(equation)
        one = name == "conv_general_dilated" or (looped and flops <= SMALL)
        found.append(Work(flops, flops if one else 0))
        times = params["length"] if name == "scan" else 1
        inner = [work_of(each, looped=looped or name in ("scan", "while")) for each in _in(params)]
        if name == "cond":
            inner = [max(inner)]
        found += [Work(times * work.flops, times * work.alone) for work in inner]
    return Work(*map(sum, zip(Work(), *found, strict=True)))


def _in(params: Mapping[str, Any]) -> Iterator[Jaxpr]:
    for value in params.values():
        for each in value if isinstance(value, tuple | list) else (value,):
            if isinstance(each, ClosedJaxpr | Jaxpr):
                yield each.jaxpr if isinstance(each, ClosedJaxpr) else each


def flops_of(equation: Any) -> int:
    """The FLOPs of a matrix product or a convolution; 0 for anything else."""
    name, params = equation.primitive.name, equation.params
    if name == "dot_general":
        (contracted, _), _ = params["dimension_numbers"]
        left, out = equation.invars[0].aval.shape, equation.outvars[0].aval.shape
        return 2 * math.prod(out) * math.prod(left[axis] for axis in contracted)
    if name == "conv_general_dilated":
        # Zeros that a dilation puts between the inputs are no work; those of the padding count.
        kernel, out = equation.invars[1].aval.shape, equation.outvars[0].aval.shape
        inputs, *window = (kernel[axis] for axis in params["dimension_numbers"].rhs_spec[1:])
        each = inputs * math.prod(window)
        return 2 * math.prod(out) * each // math.prod(params["lhs_dilation"])
    return 0
