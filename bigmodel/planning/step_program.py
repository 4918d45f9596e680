"""The training step of an experiment, compiled for devices that need not be attached."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import jax
import numpy as np
from jax.sharding import Mesh

from bigmodel.experiment import Experiment, InputError
from bigmodel.runtime.compilation import compile_experiment
from bigmodel.runtime.memory import bytes_per_device, count_parameters
from bigmodel.sharding.chips import Chip
from bigmodel.sharding.collectives import Collective, collectives
from bigmodel.sharding.mesh import batch_shardings, replicated
from bigmodel.tracking.flops import Work, count_work
from bigmodel.tracking.throughput import step_size

UNITS = {"": 1, "K": 2**10, "M": 2**20, "G": 2**30, "T": 2**40}
_OF_ALL = re.compile(r"Used ([\d.]+)([KMGT]?) of")
_OF_TEMPORARIES = re.compile(r"temporaries \(([\d.]+)([KMGT]?)\)")


class Memory(NamedTuple):
    """Bytes on each device during a step.

    ``gradients`` are as large as the parameters of one device, or less where the compiler needs
    fewer of them at a time; ``activations`` are all other temporaries. ``other`` is what the
    state holds beside parameters and optimizer state, the batch, and results that take the
    place of no argument.
    """

    parameters: int
    optimizer: int
    gradients: int
    activations: int
    other: int
    program: int

    @property
    def state(self) -> int:
        """Parameters and optimizer state."""
        return self.parameters + self.optimizer

    @property
    def total(self) -> int:
        """The sum of all parts."""
        return sum(self)


class Program(NamedTuple):
    """A compiled step, on a ``mesh`` of axes of these sizes.

    ``parameters`` is their number, ``units`` that of the ``unit`` of a batch, ``flops``
    are the model's. ``exchanges`` is None where the program is too large for the compiler to
    finish it.
    """

    mesh: Mapping[str, int]
    parameters: int
    memory: Memory
    unit: str
    units: int
    work: Work
    flops: float
    exchanges: Sequence[Collective] | None


def compile_step(
    experiment: Experiment, mesh: Mesh, *, platform: str, options: Mapping[str, Any]
) -> Program:
    """Compiles the training step that a run on this mesh would compile.

    No parameter is made, and of the data one batch, for its shapes. The devices of the mesh may be
    mere descriptions; the platform is ``tpu`` or ``cpu``, and the options are the compiler's.

    Raises:
        InputError: where the mesh does not fit, or the compiler has no way to do it.
    """
    compiled = compile_experiment(experiment, mesh)
    whole = replicated(mesh)
    key = jax.eval_shape(lambda: jax.random.key(0))
    arrays = experiment.data.example
    places = batch_shardings(mesh, experiment.partition, arrays)
    batch = {
        name: jax.ShapeDtypeStruct(array.shape, array.dtype, sharding=places[name])
        for name, array in arrays.items()
    }
    scalars: Sequence[Any] = (
        jax.ShapeDtypeStruct(key.shape, key.dtype, sharding=whole),
        jax.ShapeDtypeStruct((), np.int32, sharding=whole),
    )
    traced = compiled.trace(compiled.state, batch, *scalars)
    work = count_work(traced.jaxpr)
    lowered = traced.lower(lowering_platforms=(platform,))
    state = compiled.state
    parameters, optimizer = bytes_per_device(state.params), bytes_per_device(state.opt_state)
    arguments = bytes_per_device(state) + bytes_per_device(batch)
    try:
        program = lowered.compile(compiler_options=dict(options))
    except jax.errors.JaxRuntimeError as error:
        temporaries = _wanted(str(error), arguments)
        if temporaries is None:
            axes = " ".join(f"{axis}={size}" for axis, size in mesh.shape.items())
            reason = str(error).splitlines()[0]
            raise InputError(f"the compiler refuses the mesh {axes}: {reason}") from None
        exchanges, other, code = None, arguments - parameters - optimizer, 0
    else:
        found = program.memory_analysis()
        temporaries = found.temp_size_in_bytes
        results = found.output_size_in_bytes - found.alias_size_in_bytes
        code = found.generated_code_size_in_bytes
        other = found.argument_size_in_bytes - parameters - optimizer + results
        exchanges = collectives(program.as_text())
    gradients = min(parameters, temporaries)
    memory = Memory(parameters, optimizer, gradients, temporaries - gradients, other, code)
    unit, units, flops = step_size(experiment, traced, batch)
    count = count_parameters(state)
    return Program(dict(mesh.shape), count, memory, unit, units, work, flops, exchanges)


class StepTime(NamedTuple):
    """Seconds of a step for each part of a device, if it works at its peak.

    ``products`` are matrix products and convolutions, ``memory`` what goes through the
    device's memory, ``links`` what it sends to others.
    """

    products: float
    memory: float
    links: float

    @property
    def least(self) -> float:
        """The time of a step in which all parts work at the same time."""
        return max(self)

    @property
    def most(self) -> float:
        """The time of a step in which the device waits for its links."""
        return max(self.products, self.memory) + self.links


def step_time(program: Program, chip: Chip, devices: int) -> StepTime:
    """Estimates the time of a step, if the devices share the products evenly.

    Through the memory go the operands and results of all products, parameters and optimizer
    state twice, to be read and written, and twice what is gathered or summed up from other
    devices. All that is not a product is taken to be part of one.
    """
    work = program.work
    products = (work.flops - work.float32) / chip.bfloat16 + work.float32 / chip.float32
    exchanged = sum(one.bytes * one.times for one in program.exchanges or ())
    moved = work.bytes / devices + 2 * (program.memory.state + exchanged)
    links = sum(one.sent for one in program.exchanges or ())
    return StepTime(products / devices, moved / chip.memory_bandwidth, links / chip.link_bandwidth)


def _wanted(message: str, arguments: int) -> int | None:
    """Bytes of temporaries of a program that was too large to compile, from the error message."""
    temporaries = _OF_TEMPORARIES.search(message)
    if temporaries:
        return _in_bytes(*temporaries.groups())
    everything = _OF_ALL.search(message)
    return max(0, _in_bytes(*everything.groups()) - arguments) if everything else None


def _in_bytes(number: str, unit: str) -> int:
    return round(float(number) * UNITS[unit])
