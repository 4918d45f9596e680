"""Reads the trained parameters of a run, from which another experiment can begin."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import numpy as np

from bigmodel.errors import naming
from bigmodel.experiment import InputError
from bigmodel.output import warn
from bigmodel.run_directory.checkpoints import Checkpoints
from bigmodel.run_directory.directory import RunDirectory


class Trained(NamedTuple):
    """The parameters of a run by path, averaged ones where there are any, and its tokenizer."""

    params: dict[str, np.ndarray]
    tokenizer: bytes


def read_trained(path: Path, *, option: str) -> Trained:
    """The last intact checkpoint of a run, whose directory the user gave by an option.

    Raises:
        InputError: It is no run directory with a checkpoint and a tokenizer.
        StorageError: Its files are damaged or cannot be read.
    """
    directory = RunDirectory(path)
    checkpoints = Checkpoints(directory.checkpoints, warn=warn)
    step = checkpoints.newest_intact()
    tokenizer = path / "tokenizer.json"
    if step is None or not tokenizer.is_file():
        lacking = "no checkpoint" if step is None else f"no {tokenizer.name}"
        raise InputError(f"{option} {path} has {lacking}; give the directory of a finished run")
    leaves = checkpoints.read(step)
    checkpoints.close()
    # Older versions averaged the parameters alone, which are right below "average" there.
    prefixes = ("average/params/", "average/", "params/")
    prefix = next(p for p in prefixes if any(name.startswith(p) for name in leaves))
    params = {
        name.removeprefix(prefix): leaf for name, leaf in leaves.items() if name.startswith(prefix)
    }
    with naming(tokenizer, "read"):
        return Trained(params, tokenizer.read_bytes())
