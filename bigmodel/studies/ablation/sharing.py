"""The queue of a study's runs, and which of them are made side by side."""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable, Collection, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple, TypeAlias

from bigmodel.files import write_json
from bigmodel.studies.definition.cells import as_options
from bigmodel.studies.study import Cell, Study, directory_of

SHARING = "sharing.json"
"""File with what was decided, so that a later start makes the same bits. It is in the folder of the
study, or of a cell that is made by itself."""
WIDTH = 64
"""Maximum number of runs side by side."""


class Job(NamedTuple):
    """A run that is to be made; ``options`` are those of its cell as typed.

    The runs of a cell have one program, and those of two cells have two.
    """

    cell: Cell
    seed: int
    directory: Path
    options: tuple[str, ...]

    @property
    def name(self) -> str:
        """What the run is called in ``sharing.json``."""
        return f"{self.cell.name} seed {self.seed}"


def jobs_of(path: Path, study: Study, configs: Sequence[Any]) -> Iterator[Job]:
    """Yields the runs of a study, cell by cell, whether they are made already or not."""
    for cell, config in zip(study.cells, configs, strict=True):
        words = (*study.options, *as_options(config, cell.options))
        for seed in study.seeds:
            yield Job(cell, seed, directory_of(path, cell, seed), words)


TryOut: TypeAlias = Callable[[Sequence[Job], int], tuple[str, str] | None]
"""Measures how so many runs like these are faster, ``sequential`` or ``vmap``, and says why."""


class Queue:
    """The runs of the study in a folder that wait, in groups that are made together.

    What is decided is kept in ``home``: the study's folder, or a cell's.
    """

    def __init__(self, path: Path, seeds_by: str, *, home: Path) -> None:
        self._study = path
        self._path = home / SHARING
        self._seeds_by = seeds_by
        self.said = ""
        self.waiting: list[list[Job]] = []
        self._begun: set[str] = set()

    def decide(self, jobs: Sequence[Job], missing: Collection[Path], try_out: TryOut) -> None:
        """Groups those of a study's runs whose directories are missing.

        Side by side, a group that was begun is made again as it was, with the runs of it that have
        ended: their places in it are kept. Where nothing was decided before, ``try_out`` is asked.
        """
        wanted = [job for job in jobs if job.directory in missing]
        if not wanted:
            return
        before = _read(self._path)
        why = before.get("why", "")
        known = {"auto": self._decided(jobs), "processes": "sequential"}
        seeds_by = known.get(self._seeds_by, self._seeds_by)
        if seeds_by is None:
            alike = [job for job in wanted if job.cell == wanted[0].cell][:WIDTH]
            seeds_by, why = try_out(alike, len(wanted)) or ("sequential", "")
            self.said = why
        decided: dict[str, Any] = {"seeds_by": seeds_by, "why": why}
        if seeds_by == "vmap":
            by_name = {job.name: job for job in jobs}
            groups, apart = before.get("groups", []), before.get("apart", [])
            grouped = {*itertools.chain(apart, *groups)}
            added = [job for job in wanted if job.name not in grouped]
            for _, of_cell in itertools.groupby(added, lambda job: job.cell):
                names = [job.name for job in of_cell]
                groups += [names[at : at + WIDTH] for at in range(0, len(names), WIDTH)]
            decided |= {"groups": groups, "apart": apart}
            together = [[by_name[name] for name in names if name in by_name] for names in groups]
            self.waiting = [g for g in together if any(job.directory in missing for job in g)]
            self.waiting += [[job] for job in wanted if job.name in apart]
        else:
            self.waiting = [[job] for job in wanted]
        write_json(self._path, decided)

    def _decided(self, jobs: Sequence[Job]) -> str | None:
        """What was decided for the study before, else for its cells; None where nothing was."""
        of_study = _read(self._study / SHARING).get("seeds_by")
        if of_study is not None:
            return of_study
        folders = {job.directory.parent for job in jobs}
        of_cells = {_read(folder / SHARING).get("seeds_by") for folder in folders}
        # What was begun side by side may go on alone, for its manifest says how it was begun.
        return next((way for way in ("sequential", "vmap") if way in of_cells), None)

    def next(
        self, last: str | None, others: Collection[str], compiling: Collection[str]
    ) -> list[Job] | None:
        """Takes the runs that a worker is to make next.

        A worker stays with its cell as long as that has runs. Then it takes the first cell of which
        no other worker makes runs, else the first one. What another one compiles waits until that
        is done, for it is then in the cache. So where no more cells are left to begin than other
        workers are busy with, one of them is begun at once, and nobody waits for its program at the
        end.

        ``last`` is the name of the cell of the worker's last run; ``others`` are those of the runs
        that other workers make, and ``compiling`` those of which a worker compiles the program.
        """
        ready = [g for g in self.waiting if g[0].cell.name not in compiling]
        if not ready:
            return None
        new = {group[0].cell.name for group in ready} - self._begun
        early = new if len(new) <= len(others) else set()

        def rank(group: list[Job]) -> tuple[bool, bool, bool]:
            name = group[0].cell.name
            return name not in early, name != last, name in others

        group = min(ready, key=rank)
        self.waiting.remove(group)
        self._begun.add(group[0].cell.name)
        return group

    def separate(self, jobs: Sequence[Job]) -> None:
        """Lets runs of a group that cannot be made side by side be made alone, now and later."""
        self.waiting += [[job] for job in jobs]
        names = {job.name for job in jobs}
        decided = _read(self._path)
        broken = [group for group in decided["groups"] if names & {*group}]
        decided["groups"] = [group for group in decided["groups"] if group not in broken]
        decided["apart"] += itertools.chain.from_iterable(broken)
        write_json(self._path, decided)


def _read(path: Path) -> dict[str, Any]:
    return json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
