"""What a run has left to go on from: its files, and the checkpoint that is asked for."""

from __future__ import annotations

from pathlib import Path
from typing import Literal, NamedTuple, TypeAlias

import numpy as np
from jax.sharding import Mesh

from bigmodel.experiment import InputError, Variables, is_maximized
from bigmodel.output import warn
from bigmodel.run_directory.checkpoints import Checkpoints
from bigmodel.run_directory.directory import ASSETS, finished_steps
from bigmodel.run_directory.history import best_step
from bigmodel.run_directory.recorded import Recorded, read_recorded
from bigmodel.run_directory.variables import VARIABLES, read_variables
from bigmodel.tree import named_leaves

At: TypeAlias = Literal["best", "last"] | int
"""Which checkpoint: the best one by the run's own metric, else the last; or that of a step."""


class Trained(NamedTuple):
    """The parameters of a run by path, averaged ones where there are any, and its tokenizer."""

    params: dict[str, np.ndarray]
    tokenizer: bytes


def read_usable(path: Path) -> Recorded:
    """Reads what a run has recorded that has learned something.

    Raises:
        InputError: there is no run, or it has no checkpoint or is of an older version.
        StorageError: a file cannot be read.
    """
    recorded = read_recorded(path)
    if not finished_steps(path / "checkpoints"):
        raise InputError(f"{path} has no checkpoint; its own command goes on with it")
    if VARIABLES not in recorded.assets:
        raise InputError(
            f"{path} has no {ASSETS}/{VARIABLES}: an older version trained it; its own command, "
            "typed again, writes it"
        )
    return recorded


def choose_step(recorded: Recorded, at: At) -> int:
    """The step of the checkpoint that is asked for, whose files all have their sha256.

    Raises:
        InputError: there is none of that step.
        StorageError: it is damaged.
    """
    checkpoints = Checkpoints(recorded.path / "checkpoints", warn=warn)
    steps = checkpoints.steps()
    if at == "last":
        newest = checkpoints.newest_intact()
        assert newest is not None
        return newest
    step = at
    if step == "best":
        metric = recorded.config["run"]["best"]
        maximize = is_maximized(metric, recorded.manifest.get("maximize", ()))
        best = best_step(recorded.history, metric, maximize=maximize)
        step = best[0] if best and best[0] in steps else steps[-1]
    if step not in steps:
        raise InputError(
            f"{recorded.path} has no checkpoint of step {step}; there are "
            f"{', '.join(map(str, steps))}"
        )
    checkpoints.check_intact(step)
    return step


def read_evaluated(recorded: Recorded, step: int, *, mesh: Mesh | None = None) -> Variables:
    """The variables of a step that are evaluated, nested, and nothing else of the checkpoint.

    Raises:
        StorageError: they cannot be read.
    """
    path = (recorded.path / "checkpoints" / str(step)).absolute()
    return read_variables(path, recorded.assets[VARIABLES], mesh=mesh)


def read_trained(path: Path, *, option: str) -> Trained:
    """The parameters of the last intact checkpoint of a run.

    Args:
        path: The run directory.
        option: The option by which the user gave it, for messages.

    Raises:
        InputError: It is no run directory with a checkpoint and a tokenizer.
        StorageError: Its files are damaged or cannot be read.
    """
    try:
        recorded = read_usable(path)
    except InputError as error:
        raise InputError(f"{option}: {error}") from None
    if "tokenizer.json" not in recorded.assets:
        raise InputError(f"{option} {path} has no tokenizer.json; give the directory of a text's")
    variables = read_evaluated(recorded, choose_step(recorded, "last"))
    params = {name: np.asarray(leaf) for name, leaf in named_leaves(variables["params"]).items()}
    return Trained(params, recorded.assets["tokenizer.json"])
