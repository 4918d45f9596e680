"""A study: an experiment's script, cells that differ in options, and the seeds they share."""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from bigmodel import errors
from bigmodel.experiment import InputError
from bigmodel.files import LOCK, PARTIAL, locked, write_json

STUDY = "study.json"
VERSION = 2


@dataclass(frozen=True)
class Cell:
    """One choice of the options that vary: dotted names (``optimizer.name``) to values as typed."""

    options: Mapping[str, str]

    @property
    def name(self) -> str:
        """``optimizer.name=adam model.dropout=0.3``, as reports show it."""
        return " ".join(f"{name}={value}" for name, value in self.options.items()) or "default"

    @property
    def folder(self) -> str:
        """The name of its folder, safe in any file system and unique to the cell."""
        plain = re.sub(r"[^A-Za-z0-9.=_+-]+", "_", self.name)
        digest = hashlib.sha256(self.name.encode()).hexdigest()[:8]
        return f"{plain[:80]}-{digest}"


@dataclass(frozen=True)
class Study:
    """The content of ``studies/NAME/study.json``.

    ``options`` are those of all cells, as typed. ``baseline`` is the name of the cell with which
    the others are compared. ``metric`` is what is compared, None to let the report choose; ``at``
    says whether its last value counts or that of the best step on validation. ``seeds_by`` says
    how runs share a process: see the command ``ablate``.
    """

    script: str
    options: tuple[str, ...]
    cells: tuple[Cell, ...]
    seeds: tuple[int, ...]
    baseline: str | None = None
    metric: str | None = None
    at: str = "last"
    seeds_by: str = "auto"

    @property
    def varied(self) -> tuple[str, ...]:
        """The names of the options that vary, in their order."""
        return tuple(dict.fromkeys(name for cell in self.cells for name in cell.options))


def directory_of(study: Path, cell: Cell, seed: int) -> Path:
    """Returns the run directory of a cell under a seed."""
    return study / "runs" / cell.folder / f"seed-{seed}"


def write_study(path: Path, study: Study) -> None:
    """Writes ``study.json``.

    Raises:
        StorageError: if it cannot be written.
    """
    write_json(path / STUDY, {"version": VERSION, **dataclasses.asdict(study)})


def read_study(path: Path) -> Study:
    """Reads the study in a folder.

    Raises:
        InputError: if there is no such folder, or it is not that of a study of this version.
    """
    if not path.is_dir():
        raise InputError(f"there is no folder {path}; launch.py ablate makes studies")
    if not (path / STUDY).is_file():
        raise InputError(f"{path} is no study, for it has no {STUDY}; launch.py ablate makes one")
    try:
        value = json.loads((path / STUDY).read_text(encoding="utf-8"))
        version = value.pop("version")
        if version == VERSION:
            cells = tuple(Cell(dict(cell["options"])) for cell in value.pop("cells"))
            options, seeds = tuple(value.pop("options")), tuple(value.pop("seeds"))
            return Study(options=options, cells=cells, seeds=seeds, **value)
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise InputError(f"{path / STUDY} cannot be read as a study: {error!r}") from None
    raise InputError(
        f"{path} is a study of version {version} and this program reads version {VERSION}; make it "
        "anew under another --name"
    )


@contextlib.contextmanager
def held(path: Path) -> Iterator[None]:
    """Locks the folder of a study, which is made if it is missing.

    Raises:
        InputError: if another process works there, or the path is that of a file.
    """
    if path.exists() and not path.is_dir():
        raise InputError(f"{path} is a file; choose another --name")
    with errors.naming(path):
        path.mkdir(parents=True, exist_ok=True)
    with locked(path, otherwise="wait for it, or choose another --name"):
        yield


def check_joins(path: Path, study: Study) -> None:
    """Raises InputError if a folder holds a study that this one does not extend."""
    # One that was stopped while it was first written has only a part of that file.
    names = [there.name for there in path.iterdir()] if path.is_dir() else []
    if all(name.endswith(PARTIAL) or name.startswith(LOCK) for name in names):
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
