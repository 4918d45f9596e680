"""A plan of one config: built, compiled for its target and printed."""

from __future__ import annotations

import dataclasses
import inspect
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import jax

from bigmodel.experiment import Experiment
from bigmodel.runtime.command_line import parse
from bigmodel.runtime.cross_validation import has_folds
from bigmodel.runtime.progress import say
from bigmodel.script import load_script
from bigmodel.sharding.mesh import make_mesh
from bigmodel.studies.plan_table import table
from bigmodel.studies.step_program import Program, compile_step
from bigmodel.studies.target import Target, devices_of

QUICK = {"exec_time_optimization_effort": -1.0}


class Planned(NamedTuple):
    """An experiment as its script builds it, with its config as options make it."""

    build: Callable[[Any], Experiment]
    config: Any


def read(script: Path, options: Sequence[str]) -> Planned:
    """The config that options make of a script's; of folds the first is planned.

    Raises:
        InputError: for a script or an option that cannot be used.
    """
    module = load_script(script)
    config = parse(module.Config(), options, description=inspect.getdoc(module) or script.stem)
    if has_folds(config):
        config = dataclasses.replace(config, data=dataclasses.replace(config.data, fold=0))
    return Planned(module.build, config)


def axes_of(config: Any, devices: Sequence[jax.Device]) -> dict[str, int]:
    """The sizes of the axes of a config's mesh."""
    return dict(make_mesh(config.mesh, devices).shape)


def compile_config(
    planned: Planned, target: Target, devices: Sequence[jax.Device], *, quick: bool = False
) -> Program:
    """The step of a config on a target's devices.

    Args:
        planned: the experiment and its config.
        target: what to compile for.
        devices: its devices.
        quick: let the compiler of TPUs take a quarter of the time, for a slower program.

    Raises:
        InputError: where the mesh does not fit the devices or the batch.
    """
    mesh = make_mesh(planned.config.mesh, devices)
    options = QUICK if quick and target.tpu else {}
    platform = "tpu" if target.tpu else "cpu"
    return compile_step(planned.build(planned.config), mesh, platform=platform, options=options)


def plan(script: Path, options: Sequence[str], target: Target) -> int:
    """Prints the plan of one config; 0 where it fits or no chip is known, else 1."""
    planned = read(script, options)
    devices = devices_of(target)
    program = compile_config(planned, target, devices)
    say(table(script, axes_of(planned.config, devices), target, program))
    return 0 if fits(program, target) else 1


def fits(program: Program, target: Target) -> bool:
    """Whether the step fits the memory of the chip; any does where the chip is not known."""
    return target.chip is None or program.memory.total <= target.chip.memory
