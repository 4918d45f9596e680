"""Run directories as values: of a study, of any run there is, and of a run to be replayed."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Literal, NamedTuple, TypeAlias

from bigmodel.config import flat
from bigmodel.errors import StorageError
from bigmodel.experiment import InputError
from bigmodel.protection.sealing import check_plain
from bigmodel.run_directory.directory import CONFIG, MANIFEST, METRICS, SUMMARY, RunDirectory
from bigmodel.run_directory.history import History, read_metrics
from bigmodel.run_directory.recorded import Recorded, read_recorded
from bigmodel.studies.study import Cell, Study, directory_of

FAILED = "failed.json"
"""File in a run directory that says why the run ended without a summary."""

State: TypeAlias = Literal["missing", "begun", "completed", "stopped early", "not finite", "failed"]
UNREADABLE = "unreadable"
ENDED = ("completed", "stopped early", "not finite", "failed")


class Result(NamedTuple):
    """One run of a study: a cell under a seed.

    ``summary`` is empty if the run has none yet. ``reason`` says why it failed.
    """

    cell: Cell
    seed: int
    directory: Path
    state: State
    reason: str
    summary: Mapping[str, Any]

    @property
    def history(self) -> History:
        """What the run has logged so far."""
        return read_metrics(self.directory / METRICS)


def read_result(path: Path, cell: Cell, seed: int) -> Result:
    """Reads the result of a cell under a seed, of the study in a folder."""
    folder = directory_of(path, cell, seed)
    return Result(cell, seed, folder, *read_state(folder))


def read_state(folder: Path) -> tuple[State, str, Mapping[str, Any]]:
    """Reads the state of the run in a folder, the reason of a failure, and the summary."""
    directory = RunDirectory(folder)
    failed = directory.read_json(FAILED)
    if failed is not None:
        return "failed", failed["reason"], {}
    summary = directory.read_json(SUMMARY)
    if summary is None:
        return ("begun" if (folder / METRICS).exists() else "missing"), "", {}
    return summary["status"], summary.get("reason", ""), summary


def forget_failures(path: Path, study: Study) -> None:
    """Marks the failed runs of a study as missing."""
    for cell, seed in itertools.product(study.cells, study.seeds):
        (directory_of(path, cell, seed) / FAILED).unlink(missing_ok=True)


def read_results(path: Path, study: Study) -> Iterator[Result]:
    """Yields the results of all runs of a study, cell by cell and seed by seed."""
    for cell, seed in itertools.product(study.cells, study.seeds):
        yield read_result(path, cell, seed)


class SomeRun(NamedTuple):
    """What the directory of a run says.

    ``config`` is by dotted names. ``state`` is a :data:`State` or ``unreadable``.
    ``metrics`` are the last ones; ``summary`` is empty before the end.
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


def read_run(path: Path) -> SomeRun:
    """Reads a run as it is now.

    Raises:
        InputError: if there is none.
    """
    check_plain(path)
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


def read_finished(path: Path) -> Recorded:
    """Reads a finished run.

    Raises:
        InputError: where there is none, or a part of it is missing.
        StorageError: where it cannot be read.
    """
    recorded = read_recorded(path)
    failed = RunDirectory(path).read_json(FAILED)
    if failed is not None:
        raise InputError(f"{path} has no end to compare with, for it failed: {failed['reason']}")
    if not recorded.summary:
        raise InputError(
            f"{path} has not ended, for it has no {SUMMARY}; its own command goes on with it"
        )
    return recorded
