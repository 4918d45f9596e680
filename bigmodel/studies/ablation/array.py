"""A study as a job array of SLURM: a task for each cell in which runs are missing."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from bigmodel import errors
from bigmodel.experiment import InputError
from bigmodel.files import write_atomically
from bigmodel.launching.job import RESOURCES, add_resources, check_positive, job_of
from bigmodel.launching.slurm import OF_SLURM, Array, add_slurm_options, sbatch_script
from bigmodel.launching.submit import hand_over
from bigmodel.studies.runs import ENDED, FAILED, forget_failures, read_result
from bigmodel.studies.study import (
    STUDY,
    Cell,
    Study,
    check_joins,
    directory_of,
    held,
    write_study,
)


def add_array_options(parser: argparse.ArgumentParser) -> None:
    """Adds the options of job arrays."""
    group = parser.add_argument_group("SLURM")
    group.add_argument("--slurm", action="store_true", help="a job array, with a task for a cell")
    group.add_argument("--array-limit", type=int, metavar="N", help="tasks that may run at once")
    add_resources(group)
    add_slurm_options(group)


def check_array_options(parsed: argparse.Namespace) -> None:
    """Raises InputError for options that have no meaning with --slurm, or without it."""
    check_positive("array-limit", parsed.array_limit)
    if parsed.slurm:
        if parsed.jobs is not None:
            raise InputError("--jobs is for this machine; with --slurm there is --array-limit")
        return
    for name in ("array_limit", *RESOURCES, *OF_SLURM):
        if getattr(parsed, name) is not None:
            raise InputError(f"--{name.replace('_', '-')} is for SLURM; add --slurm")


def missing_cells(path: Path, study: Study, *, retry_failed: bool) -> list[Cell]:
    """Returns the cells with runs that have not ended, or have failed and are to be made again."""

    def is_missing(cell: Cell, seed: int) -> bool:
        state = read_result(path, cell, seed).state
        return state not in ENDED or (retry_failed and state == "failed")

    return [cell for cell in study.cells if any(is_missing(cell, seed) for seed in study.seeds)]


def _script(parsed: argparse.Namespace, path: Path, study: Study, cells: Sequence[Cell]) -> str:
    job = job_of(parsed, name=path.name, script=Path(study.script), options=study.options)
    array = Array(
        command=(sys.argv[0], "work", *(["--figures"] * parsed.figures), str(path)),
        words=[cell.name for cell in cells],
        limit=parsed.array_limit,
    )
    return sbatch_script(job, parsed, array)


def _content(path: Path, study: Study) -> dict[Path, bytes]:
    """What a submission changes: the file of the study, and those of failures."""
    failures = (
        directory_of(path, cell, seed) / FAILED for cell in study.cells for seed in study.seeds
    )
    return {file: file.read_bytes() for file in (path / STUDY, *failures) if file.is_file()}


def submit_array(parsed: argparse.Namespace, path: Path, study: Study) -> int:
    """Submits a job array for the cells with missing runs, or prints its script.

    Raises:
        InputError: if the folder holds another study, another process works on it, or SLURM refuses
            the array, which leaves the folder as it was.
    """
    check_joins(path, study)
    cells = missing_cells(path, study, retry_failed=parsed.retry_failed)
    if not cells:
        print(f"no run is missing in {path}; launch.py report {path} reports")
        return errors.DONE
    text = _script(parsed, path, study, cells)
    if parsed.dry_run:
        print(text, end="")
        return errors.DONE
    file = Path("slurm", f"{path.name}.sbatch")
    begun = path.exists()
    with held(path):
        check_joins(path, study)
        before = _content(path, study)
        write_study(path, study)
        # Before the tasks are there, which would take them for the ends of their runs.
        if parsed.retry_failed:
            forget_failures(path, study)
    try:
        hand_over(text, ["sbatch", str(file)], file)
    except (InputError, OSError):
        for there, content in before.items():
            write_atomically(there, content)
        if path / STUDY not in before:
            (path / STUDY).unlink()
        if not begun:
            path.rmdir()
        raise
    print(f"{len(cells)} cells have missing runs; when all have ended, launch.py report {path}")
    return errors.DONE
