"""Makes the runs of a study that are missing, by processes that share what they compile."""

from __future__ import annotations

import signal
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import NamedTuple

from bigmodel.launching.supervisor import Relay
from bigmodel.runtime import errors
from bigmodel.runtime.files import locked, write_json
from bigmodel.runtime.processes import is_started_again
from bigmodel.studies.board import Board
from bigmodel.studies.cells import as_options
from bigmodel.studies.crew import Ended, Worker
from bigmodel.studies.results import ENDED, FAILED, Result, read_result
from bigmodel.studies.study import Cell, Study

POLL = 0.05
GRACE = 120.0
"""Seconds that a run has to save after a signal."""


class Job(NamedTuple):
    """A run that is to be made."""

    cell: Cell
    seed: int
    directory: Path
    options: tuple[str, ...]


class Runner:
    """Processes for a study's runs, which start as soon as this is entered.

    They import what takes long while the study is still being checked.
    """

    def __init__(self, script: Path, *, jobs: int, idle: bool = False) -> None:
        self._script = script
        self._jobs = jobs
        self._idle = idle
        self._workers: list[Worker] = []
        self._relay = Relay()

    def __enter__(self) -> Runner:
        self._relay.__enter__()
        if not self._idle:
            self._workers = [Worker(self._script) for _ in range(self._jobs)]
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for worker in self._workers:
            worker.end(0.0 if kind is not None else 5.0)
        self._relay.__exit__(kind, error, trace)

    def run(
        self, path: Path, study: Study, configs: Sequence[object], *, retry_failed: bool
    ) -> int:
        """Makes the missing runs of a study in a folder.

        Returns:
            0 where all have been made, whatever has come of them; else the status of what stopped
            it: 1 where no other run could be made either, 130 for Ctrl-C, 0 or 75 for SIGTERM.

        Raises:
            InputError: where another process works on this study.
        """
        with locked(path, otherwise="wait for it, or choose another --name"):
            return self._run(path, study, configs, retry_failed=retry_failed)

    def _run(
        self, path: Path, study: Study, configs: Sequence[object], *, retry_failed: bool
    ) -> int:
        waiting: list[Job] = []
        with Board(study, configs) as board:
            for cell, config in zip(study.cells, configs, strict=True):
                words = (*study.options, *as_options(config, cell.options))
                for seed in study.seeds:
                    result = read_result(path, cell, seed)
                    if result.state == "failed" and retry_failed:
                        (result.directory / FAILED).unlink()
                        result = read_result(path, cell, seed)
                    if result.state in ENDED:
                        board.ended(result)
                    else:
                        waiting.append(Job(cell, seed, result.directory, words))
            for at, worker in enumerate(self._workers):
                worker.write_to(path / "logs" / f"worker-{at}.log")
            return self._watch(path, study, waiting, board)

    def _watch(self, path: Path, study: Study, waiting: list[Job], board: Board) -> int:
        alone = study.seeds_by == "processes"
        while True:
            for at, worker in enumerate(self._workers):
                ended = worker.look()
                if ended is not None:
                    job: Job | None = worker.task
                    worker.task = None
                    if job is None or ended.everywhere:
                        print(f"error: {ended.reason}", file=sys.stderr, flush=True)
                        return errors.FAILED
                    board.ended(self._record(path, job, ended))
                if not worker.alive or (alone and worker.made and worker.task is None):
                    worker.end(GRACE)
                    if not waiting:
                        continue
                    worker = self._workers[at] = Worker(self._script)
                    worker.write_to(path / "logs" / f"worker-{at}.log")
                if worker.task is None and waiting:
                    job = waiting.pop(self._next(worker, waiting))
                    task = {"options": job.options, "seed": job.seed}
                    worker.give(job, {**task, "directory": str(job.directory)})
                    board.begun(job.cell, job.seed, job.directory)
            if not any(worker.task for worker in self._workers):
                return errors.DONE
            if self._relay.received:
                return self._stop(self._relay.received[0])
            board.refresh()
            time.sleep(POLL)

    def _next(self, worker: Worker, waiting: Sequence[Job]) -> int:
        """Which job a worker takes: of the cell it has compiled, else of one that is nobody's."""
        theirs = [w.made[-1].cell for w in self._workers if w is not worker and w.made]
        own = worker.made[-1].cell if worker.made else None
        for wanted in (lambda cell: cell == own, lambda cell: cell not in theirs):
            for at, job in enumerate(waiting):
                if wanted(job.cell):
                    return at
        return 0

    def _record(self, path: Path, job: Job, ended: Ended) -> Result:
        """The result of a run that ended; a process that died could not write it down."""
        result = read_result(path, job.cell, job.seed)
        if result.state in ENDED:
            return result
        write_json(job.directory / FAILED, {"reason": ended.reason or f"status {ended.status}"})
        return read_result(path, job.cell, job.seed)

    def _stop(self, number: int) -> int:
        for worker in self._workers:
            worker.stop()
        until = time.monotonic() + GRACE
        for worker in self._workers:
            while worker.alive and time.monotonic() < until and len(self._relay.received) < 2:
                time.sleep(POLL)
            worker.end(0.0)
        name = signal.Signals(number).name
        print(f"stopped by {name}, saved; the same command goes on from there", flush=True)
        if number == signal.SIGINT:
            return errors.INTERRUPTED
        return errors.RESUME if is_started_again() else errors.DONE
