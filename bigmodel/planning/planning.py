"""Builds the experiment of a config, compiles it for a target and prints the plan."""

from __future__ import annotations

import inspect
import multiprocessing
import os
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path
from typing import Any, TypeAlias, TypeVar

from bigmodel.config import with_values
from bigmodel.experiment import Experiment, InputError
from bigmodel.planning.step_program import Program, compile_step
from bigmodel.planning.table import table
from bigmodel.planning.target import Target, devices_of
from bigmodel.runtime.command_line import parse
from bigmodel.runtime.cross_validation import has_folds
from bigmodel.runtime.xla import use_precision
from bigmodel.script import load_script
from bigmodel.sharding.mesh import make_mesh
from bigmodel.tracking.progress import say

QUICK = {"exec_time_optimization_effort": -1.0}
Choice: TypeAlias = Mapping[str, Any]
"""Values of some options of a config by their paths: ``mesh.fsdp``, ``data.batch_size``."""
Result = TypeVar("Result")


def plan(script: Path, options: Sequence[str], target: Target) -> int:
    """Prints the plan of a config; returns 0 if it fits or the chip is unknown, else 1."""
    read(script, options)
    program = compile_choice(script, options, {}, target)
    say(table(script, target, program))
    return 0 if fits(program, target) else 1


def fits(program: Program, target: Target) -> bool:
    """Whether the step fits the memory of the chip; always true if the chip is unknown."""
    return target.chip is None or program.memory.total <= target.chip.memory


def read(script: Path, options: Sequence[str]) -> tuple[Callable[[Any], Experiment], Any]:
    """A script's build function and the config that options make; of several folds, the first's.

    Raises:
        InputError: for a script or an option that cannot be used.
    """
    module = load_script(script)
    config = parse(module.Config(), options, description=inspect.getdoc(module) or script.stem)
    if has_folds(config):
        config = with_values(config, {"data.fold": 0})
    return module.build, config


def compile_choice(
    script: Path, options: Sequence[str], choice: Choice, target: Target, *, quick: bool = False
) -> Program:
    """Compiles the step of a config with some values changed, for a target's devices.

    The compiler of TPUs, which aborts where it knows no way, has a process of its own. If ``quick``
    it takes a quarter of the time, for a slower program.

    Raises:
        InputError: where the mesh does not fit the devices or the batch, or the compiler fails.
    """
    if not target.tpu:
        return _compile(script, options, choice, target, quick)
    try:
        return apart(_compile, script, options, choice, target, quick)
    except DiedError:
        wanted = as_options(choice) or "this mesh"
        raise InputError(f"the compiler of {target.tpu} aborts for {wanted}; use another") from None


def _compile(
    script: Path, options: Sequence[str], choice: Choice, target: Target, quick: bool
) -> Program:
    build, config = read(script, options)
    config = with_values(config, choice)
    use_precision(config.run.matmul_precision)
    mesh = make_mesh(config.mesh, devices_of(target))
    platform, effort = ("tpu", QUICK if quick else {}) if target.tpu else ("cpu", {})
    return compile_step(build(config), mesh, platform=platform, options=effort)


def as_options(choice: Choice) -> str:
    """Returns a choice as a user types it."""
    words = []
    for path, value in choice.items():
        part, _, name = path.replace("_", "-").partition(".")
        if isinstance(value, bool):
            words.append(f"--{part}.{'' if value else 'no-'}{name}")
        elif value is not None:
            words.append(f"--{part}.{name} {value}")
    return " ".join(words)


class DiedError(RuntimeError):
    """The process died during the call."""


def apart(function: Callable[..., Result], *arguments: Any) -> Result:
    """Calls a function in a new process without stderr; raises DiedError if the process dies."""
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(1, mp_context=context, initializer=_silence) as pool:
        try:
            return pool.submit(function, *arguments).result()
        except BrokenProcessPool:
            raise DiedError from None


def _silence() -> None:
    """Discards stderr, because a library that aborts prints its stack first."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), 2)
