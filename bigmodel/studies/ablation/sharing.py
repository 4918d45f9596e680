"""Which runs of a study share a process, and how: in turns, side by side, or not at all."""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable, Collection, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple, TypeAlias

from bigmodel.config import to_json
from bigmodel.files import write_json
from bigmodel.studies.definition.cells import as_options
from bigmodel.studies.study import Cell, Study, directory_of

SHARING = "sharing.json"
"""In the folder of a study, or of a cell that is made by itself: what was decided, so that a later
start makes the same bits."""
WIDTH = 64
"""Runs side by side at the most."""


class Job(NamedTuple):
    """A run that is to be made.

    ``options`` are those of its cell as typed. Those of one ``program`` may share it: their
    configs differ in numbers alone.
    """

    cell: Cell
    seed: int
    directory: Path
    options: tuple[str, ...]
    program: str

    @property
    def line(self) -> tuple[Sequence[str], int, str]:
        """What a worker is told of it."""
        return self.options, self.seed, str(self.directory)


def jobs_of(path: Path, study: Study, configs: Sequence[Any]) -> Iterator[Job]:
    """The runs of a study, cell by cell, whether they are made already or not."""
    for cell, config in zip(study.cells, configs, strict=True):
        words = (*study.options, *as_options(config, cell.options))
        program = json.dumps(_without_numbers(to_json(config)), sort_keys=True)
        for seed in study.seeds:
            yield Job(cell, seed, directory_of(path, cell, seed), words, program)


def _without_numbers(value: Any) -> Any:
    """A config with only the signs of its real numbers: 0 often means that something is absent."""
    if isinstance(value, dict):
        return {name: _without_numbers(each) for name, each in value.items()}
    return (value > 0) - (value < 0) if isinstance(value, float) else value


TryOut: TypeAlias = Callable[[Sequence[Job], int], tuple[str, str] | None]
"""Tells how runs like some, of which there are so many, are quicker, and why; None if unknown."""


class Sharing:
    """The runs that wait, in groups that are made together.

    Args:
        path: the study's folder.
        asked: ``auto``, ``turns``, ``vmap`` or ``processes``.
        home: where what is decided is kept: the study's folder, or a cell's.
    """

    def __init__(self, path: Path, asked: str, *, home: Path) -> None:
        self._study = path
        self._path = home / SHARING
        self._asked = asked
        self.alone = asked == "processes"
        self.said = ""
        self.waiting: list[list[Job]] = []
        self._begun: set[str] = set()

    def decide(self, jobs: Sequence[Job], missing: Collection[Path], try_out: TryOut) -> None:
        """Groups the missing runs.

        Side by side, a group that was begun is made again as it was, with the runs of it that have
        ended: their places in it are kept.

        Args:
            jobs: all runs of the study.
            missing: the directories of those that have not ended.
            try_out: asked where nothing was decided before.
        """
        decided = _read(self._path)
        wanted = [job for job in jobs if job.directory in missing]
        if not wanted:
            return
        seeds_by = {"auto": self._decided(jobs), "processes": "turns"}.get(self._asked, self._asked)
        if seeds_by is None:
            likely = [job for job in wanted if job.program == wanted[0].program][:WIDTH]
            found = try_out(likely, len(wanted))
            if found is None:
                seeds_by = "turns"
            else:
                seeds_by, self.said = found
        if seeds_by != "vmap":
            self.waiting = [[job] for job in wanted]
            write_json(
                self._path, {"seeds_by": seeds_by, "why": self.said or decided.get("why", "")}
            )
            return
        by_name = {_name(job): job for job in jobs}
        before = [
            [by_name[name] for name in group if name in by_name]
            for group in decided.get("groups", [])
        ]
        apart = [by_name[name] for name in decided.get("apart", []) if name in by_name]
        known = {job.directory for group in (*before, apart) for job in group}
        alike: dict[str, list[Job]] = {}
        for job in wanted:
            if job.directory not in known:
                alike.setdefault(job.program, []).append(job)
        added = [g[at : at + WIDTH] for g in alike.values() for at in range(0, len(g), WIDTH)]
        groups = [*before, *added]
        self.waiting = [group for group in groups if any(j.directory in missing for j in group)]
        self.waiting += [[job] for job in apart if job.directory in missing]
        kept = {
            "groups": [[_name(job) for job in group] for group in groups],
            "apart": [_name(job) for job in apart],
        }
        why = self.said or decided.get("why", "")
        write_json(self._path, {"seeds_by": seeds_by, "why": why, **kept})

    def _decided(self, jobs: Sequence[Job]) -> str | None:
        """What was decided for the study before, else for its cells; None where nothing was."""
        of_study = _read(self._study / SHARING).get("seeds_by")
        if of_study is not None:
            return of_study
        folders = {job.directory.parent for job in jobs}
        of_cells = {_read(folder / SHARING).get("seeds_by") for folder in folders}
        # What was begun side by side may go on in turns, for its manifest says how it was begun.
        return next((way for way in ("turns", "vmap") if way in of_cells), None)

    def next(
        self, last: str | None, busy: Collection[str], compiling: Collection[str], *, crew: int
    ) -> list[Job] | None:
        """The group that a worker is to make next.

        A program that is left over is begun before there is nothing else to do while it is
        compiled. Otherwise a worker stays with its program, or takes one that is not in use. None
        where it is better to wait for another worker, which compiles what all of them need.

        Args:
            last: the program that the worker has run before, if any.
            busy: programs that other workers run.
            compiling: those of them that have not made a step yet.
            crew: how many workers there are.
        """
        programs = {group[0].program for group in self.waiting}
        new = programs - self._begun
        left_over = new if len(new) < crew else set()
        for wanted in (left_over, programs & {last}, programs - {*busy}, programs - {*compiling}):
            for at, group in enumerate(self.waiting):
                if group[0].program in wanted:
                    self._begun.add(group[0].program)
                    return self.waiting.pop(at)
        return None

    def separate(self, jobs: Sequence[Job]) -> None:
        """Lets runs of a group that cannot be made side by side be made in turns, now and later."""
        self.waiting += [[job] for job in jobs]
        names = {_name(job) for job in jobs}
        decided = _read(self._path)
        broken = [group for group in decided["groups"] if names & {*group}]
        decided["groups"] = [group for group in decided["groups"] if group not in broken]
        decided["apart"] += itertools.chain.from_iterable(broken)
        write_json(self._path, decided)


def _read(path: Path) -> dict[str, Any]:
    return json.loads(path.read_text()) if path.exists() else {}


def _name(job: Job) -> str:
    return f"{job.cell.name} seed {job.seed}"
