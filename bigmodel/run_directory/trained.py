"""What a run has left to go on from: its files, and the checkpoint that is asked for."""

from __future__ import annotations

from pathlib import Path
from typing import Literal, TypeAlias

import numpy as np
from jax.sharding import Mesh

from bigmodel.data.dialogues.chat import read_chat
from bigmodel.experiment import InputError, Variables, is_maximized
from bigmodel.frozen import merged
from bigmodel.output import warn
from bigmodel.pretrained.source import Source, read_foreign
from bigmodel.protection.sealing import check_plain
from bigmodel.quantized import restored
from bigmodel.run_directory.checkpoints import Checkpoints
from bigmodel.run_directory.directory import ASSETS, MANIFEST, finished_steps
from bigmodel.run_directory.history import best_step
from bigmodel.run_directory.recorded import Recorded, read_recorded
from bigmodel.run_directory.sums import params_digest
from bigmodel.run_directory.variables import VARIABLES, read_variables
from bigmodel.tree import named_leaves

At: TypeAlias = Literal["best", "last"] | int
"""Which checkpoint: the best one by the run's own metric, else the last; or that of a step."""


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

    They are those of the model itself, whatever of it was frozen.

    Raises:
        StorageError: they cannot be read.
    """
    path = (recorded.path / "checkpoints" / str(step)).resolve()
    return merged(read_variables(path, recorded.assets[VARIABLES], mesh=mesh))


def read_source(path: Path, *, option: str) -> Source:
    """What a model can begin with: the variables of a run's best checkpoint, or foreign weights.

    Args:
        path: The run directory, or what :func:`~bigmodel.pretrained.source.read_foreign` reads.
        option: The option by which the user gave it, for messages.

    Raises:
        InputError: It is none of these.
        StorageError: Its files are damaged or cannot be read.
    """
    try:
        check_plain(path)
        if not (path / MANIFEST).exists():
            return read_foreign(path)
        recorded = read_usable(path)
        evaluated = read_evaluated(recorded, choose_step(recorded, "best"))
        leaves = named_leaves(restored(evaluated))
    except InputError as error:
        raise InputError(f"{option}: {error}") from None
    variables = {name: np.asarray(leaf) for name, leaf in leaves.items()}
    options, tokenizer = recorded.config.get("model", {}), recorded.assets.get("tokenizer.json")
    chat = read_chat(recorded.assets)
    facts = chat.facts if chat else {}
    return Source(path, "", options, variables, tokenizer, facts, params_digest(variables))
