"""The state and results of a study's runs, read from their directories."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Literal, NamedTuple, TypeAlias

from bigmodel.run_directory.directory import METRICS, SUMMARY, RunDirectory
from bigmodel.run_directory.history import History, read_metrics
from bigmodel.studies.study import Cell, Study, directory_of

FAILED = "failed.json"
"""File in a run directory that says why the run ended without a summary."""

State: TypeAlias = Literal["missing", "begun", "completed", "stopped early", "not finite", "failed"]
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
    for cell in study.cells:
        for seed in study.seeds:
            (directory_of(path, cell, seed) / FAILED).unlink(missing_ok=True)


def read_results(path: Path, study: Study) -> Iterator[Result]:
    """Yields the results of all runs of a study, cell by cell and seed by seed."""
    for cell in study.cells:
        for seed in study.seeds:
            yield read_result(path, cell, seed)
