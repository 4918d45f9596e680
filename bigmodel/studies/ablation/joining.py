"""The folder of a study: who may change it, and what a study that is there already can become."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

from bigmodel import errors
from bigmodel.experiment import InputError
from bigmodel.files import PARTIAL, locked
from bigmodel.studies.study import Study, read_study


@contextlib.contextmanager
def held(path: Path) -> Iterator[None]:
    """Has the folder of a study for itself while entered.

    Raises:
        InputError: where another process works there, or it is no folder.
    """
    if path.exists() and not path.is_dir():
        raise InputError(f"{path} is a file; choose another --name")
    with errors.naming(path):
        path.mkdir(parents=True, exist_ok=True)
    with locked(path, otherwise="wait for it, or choose another --name"):
        yield


def check_joins(path: Path, study: Study) -> None:
    """Raises InputError where a folder holds another study, to which this one does not add."""
    # One that was stopped while it was first written has only a part of that file.
    names = [there.name for there in path.iterdir()] if path.is_dir() else []
    if all(name.endswith(PARTIAL) for name in names):
        return
    there = read_study(path)
    differing = [
        name
        for name in ("script", "options", "seeds_by")
        if getattr(there, name) != getattr(study, name)
    ]
    gone = [cell.name for cell in there.cells if cell not in study.cells]
    if differing:
        raise InputError(f"{path} holds a study with other {differing[0]}; choose another --name")
    if gone or set(there.seeds) - set(study.seeds):
        what = f"the cell {gone[0]}" if gone else "more seeds"
        raise InputError(f"{path} holds a study that has {what} too; choose another --name")
