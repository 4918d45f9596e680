"""Run directories, finished or not, as values."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from bigmodel.config import flat
from bigmodel.errors import StorageError
from bigmodel.experiment import InputError
from bigmodel.run_directory.directory import CONFIG, MANIFEST, METRICS, SUMMARY, RunDirectory
from bigmodel.run_directory.history import read_metrics
from bigmodel.studies.results import FAILED

UNREADABLE = "unreadable"


class SomeRun(NamedTuple):
    """What the directory of a run says.

    ``config`` is by dotted names. ``state`` is one of ``bigmodel.studies.results``, or
    ``unreadable``. ``metrics`` are the last ones; ``summary`` is empty before the end.
    """

    path: Path
    config: Mapping[str, Any]
    manifest: Mapping[str, Any]
    state: str
    step: int
    seconds: float
    metrics: Mapping[str, float | None]
    summary: Mapping[str, Any]

    @property
    def script(self) -> str:
        """The name of its script: ``cnn``."""
        return Path(self.manifest.get("script", "")).stem

    @property
    def total(self) -> int | None:
        """The number of steps it is to take; None if that is given in epochs."""
        return self.config.get("run.steps") if self.config.get("run.epochs") is None else None


def find_runs(folder: Path) -> Iterator[Path]:
    """Yields all run directories in a folder, at any depth, in the order of their names."""
    for path, folders, files in os.walk(folder):
        folders.sort()
        if CONFIG in files and (MANIFEST in files or METRICS in files):
            # No run is inside another one.
            folders.clear()
            yield Path(path)


def read_run(path: Path) -> SomeRun:
    """Reads a run as it is now.

    Raises:
        InputError: if there is none.
    """
    if not (path / CONFIG).is_file():
        raise InputError(f"{path} is no run directory, for it has no {CONFIG}")
    directory = RunDirectory(path)
    try:
        config, manifest = (directory.read_json(name) or {} for name in (CONFIG, MANIFEST))
        summary, failed = (directory.read_json(name) for name in (SUMMARY, FAILED))
        last = summary or _last(path)
    except StorageError:
        return SomeRun(path, {}, {}, UNREADABLE, 0, 0.0, {}, {})
    state = "failed" if failed else summary["status"] if summary else "begun"
    metrics = {name: value for name, value in last.items() if "/" in name}
    if summary and not metrics:
        metrics = {name: value for name, value in _last(path).items() if "/" in name}
    return SomeRun(
        path=path,
        config=flat(config),
        manifest=manifest,
        state=state,
        step=last.get("step", 0),
        seconds=last.get("seconds", 0.0),
        metrics=metrics,
        summary=summary or {},
    )


def _last(path: Path) -> dict[str, Any]:
    """Returns the last value of everything that a run has logged."""
    last: dict[str, Any] = {}
    for line in read_metrics(path / METRICS):
        last.update(line)
    return last
