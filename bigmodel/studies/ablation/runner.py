"""Makes the missing runs of a study by worker processes."""

from __future__ import annotations

import itertools
import os
import signal
import time
from collections.abc import Sequence
from multiprocessing.connection import wait
from pathlib import Path
from typing import Any

from bigmodel import errors
from bigmodel.files import write_json
from bigmodel.launching.supervisor import Relay
from bigmodel.processes.distributed import is_started_again
from bigmodel.processes.signals import Interrupted
from bigmodel.studies.ablation.board import Board
from bigmodel.studies.ablation.sharing import Job, Queue, jobs_of
from bigmodel.studies.ablation.worker import Died, Worker, WorkerError
from bigmodel.studies.metric import choose_metric
from bigmodel.studies.runs import ENDED, FAILED, forget_failures, read_result, read_state
from bigmodel.studies.study import Study
from bigmodel.tracking.progress import say

POLL = 0.1
CPU_JOBS = 2
"""Workers on a CPU of several cores, some of which a run of a small model leaves idle."""
GRACE = 120.0
"""Seconds that a run has to save after a signal."""
IDLE = 5.0
"""Seconds that a worker with nothing to do has to end."""


class Runner:
    """Hands the runs of a study to its workers; while entered, signals stop all of them.

    ``stopped`` says whether a signal did. ``jobs`` is the number of workers; None for one, or two
    if the devices are a CPU of several cores.
    """

    def __init__(self, script: Path, *, jobs: int | None, drawing: bool = False) -> None:
        self._script = script
        self._drawing = drawing
        self._jobs = jobs
        self._workers: list[Worker] = []
        self._relay = Relay()
        self.stopped = False
        self._logs = Path("logs")

    def __enter__(self) -> Runner:
        self._relay.__enter__()
        return self

    def __exit__(self, *error: Any) -> None:
        for worker in self._workers:
            worker.end(0.0 if any(error) else IDLE)
        self._relay.__exit__(*error)

    def run(
        self,
        path: Path,
        study: Study,
        configs: Sequence[Any],
        *,
        retry_failed: bool = False,
        home: Path | None = None,
    ) -> int:
        """Makes the missing runs of a study, or of a part of it, in the study's folder.

        With ``retry_failed`` those that failed are missing, too. ``home`` is the folder of which
        the caller has the lock, with the logs and what was decided; by default the study's.

        Returns:
            The exit status: 0 if all have been made, also those that were not finite, and 1 if
            some have failed; after a signal 130 for Ctrl-C, 0 or 75 for SIGTERM and SIGHUP.

        Raises:
            WorkerError: if no worker can be started.
            StorageError: if a file cannot be written.
        """
        home = home or path
        self._logs = home / "logs"
        if retry_failed:
            forget_failures(path, study)
        jobs = list(jobs_of(path, study, configs))
        with Board(study, configs) as board:
            results = [read_result(path, job.cell, job.seed) for job in jobs]
            for result in results:
                if result.state in ENDED:
                    board.ended(result)
            missing = {r.directory for r in results if r.state not in ENDED}
            queue = Queue(path, study.seeds_by, home=home)
            try:
                if missing:
                    self._start(len(missing))
                    queue.decide(jobs, missing, self._try_out)
            except Interrupted as interruption:
                return self._stop(interruption.number)
            if queue.said:
                board.say(queue.said)
            return self._watch(path, queue, board, alone=study.seeds_by == "processes")

    def check_metric(self, path: Path, study: Study, configs: Sequence[Any]) -> int | None:
        """Checks that the first or the last cell will have the metric of the study.

        Metrics of training are not checked. Returns the exit status if a signal stopped the study.

        Raises:
            InputError: if neither will have it.
        """
        if study.metric is None or study.metric.startswith("train/"):
            return None
        jobs = list(jobs_of(path, study, configs))
        names: dict[str, None] = {}
        try:
            for options in dict.fromkeys((jobs[0].options, jobs[-1].options)):
                found = self._ask("metrics", options)
                if not found:
                    return None
                names.update(dict.fromkeys(found))
        except Interrupted as interruption:
            return self._stop(interruption.number)
        choose_metric(study.metric, list(names))
        return None

    def _start(self, runs: int) -> None:
        """Starts the workers for so many runs; two share a CPU and none an accelerator."""
        count = min(self._jobs or min(CPU_JOBS, os.cpu_count() or 1), runs)
        if self._jobs is None and count > 1 and self._ask("platform") != "cpu":
            count = 1
        while len(self._workers) < count:
            self._add()
        for worker in self._workers:
            worker.send("log", self._logs / f"worker-{worker.number}.log")

    def _add(self) -> Worker:
        """Starts a worker with the first free number."""
        taken = {worker.number for worker in self._workers}
        number = next(number for number in itertools.count() if number not in taken)
        self._workers.append(Worker(self._script, self._drawing, number))
        return self._workers[-1]

    def _try_out(self, jobs: Sequence[Job], count: int) -> tuple[str, str] | None:
        """Asks a worker for a trial; None if it could not be made."""
        self._workers[0].used = True
        return self._ask("trial", [_task(job) for job in jobs], count, len(self._workers))

    def _ask(self, *question: Any) -> Any:
        """Returns the answer of the first worker, None if it died; a signal is raised."""
        worker = self._workers[0] if self._workers else self._add()
        worker.send(*question)
        while True:
            heard = next(worker.hear(), None)
            if isinstance(heard, Died) and heard.stopped:
                self._relay.received.append(signal.SIGTERM)
            if self._relay.received:
                raise Interrupted(self._relay.received[0])
            if heard is not None:
                return None if isinstance(heard, Died) else heard[1]
            wait([worker.connection], POLL)

    def _watch(self, path: Path, queue: Queue, board: Board, *, alone: bool) -> int:
        """Hands out the runs as workers become free, until all have been made."""
        while True:
            for worker in list(self._workers):
                died = self._hear(path, worker, board)
                if self._relay.received:
                    return self._stop(self._relay.received[0])
                if died is not None:
                    self._bury(path, worker, died, queue, board)
                expired = alone and worker.used and not worker.doing
                if died is not None or expired:
                    worker.end(GRACE)
                    self._workers.remove(worker)
                    if not queue.waiting:
                        continue
                    worker = self._add()
                    worker.send("log", self._logs / f"worker-{worker.number}.log")
                if not worker.doing:
                    self._hand_out(worker, queue, board)
            if not any(worker.doing for worker in self._workers):
                return errors.FAILED if board.failures else errors.DONE
            board.refresh()
            wait([worker.connection for worker in self._workers], POLL)

    def _hear(self, path: Path, worker: Worker, board: Board) -> Died | None:
        """Processes the messages of a worker, and returns how it died, if it did."""
        for heard in worker.hear():
            match heard:
                case Died():
                    if heard.stopped:
                        # A scheduler signals all processes; this one may be the last to hear of it.
                        self._relay.received.append(signal.SIGTERM)
                    return heard
                case ("began",):
                    worker.compiling = False
                case ("ended", answer):
                    self._take(path, worker, answer, board)
        return None

    def _hand_out(self, worker: Worker, queue: Queue, board: Board) -> None:
        others = {job.cell.name for one in self._workers for job in one.doing}
        compiling = {one.cell for one in self._workers if one.compiling and one.cell}
        jobs = queue.next(worker.cell, others, compiling)
        if jobs is None:
            return
        name = jobs[0].cell.name
        worker.compiling = len(jobs) == 1 and worker.cell != name
        worker.doing = [job for job in jobs if read_state(job.directory)[0] not in ENDED]
        worker.cell, worker.used = name, True
        worker.send("make", [_task(job) for job in jobs])
        for job in worker.doing:
            board.begun(job.cell, job.seed, job.directory)

    def _take(self, path: Path, worker: Worker, answer: dict[str, Any], board: Board) -> None:
        """Registers a run that has ended."""
        if answer.get("all"):
            raise errors.StorageError(answer["reason"])
        job = next(job for job in worker.doing if str(job.directory) == answer["directory"])
        worker.doing.remove(job)
        worker.compiling = False
        result = read_result(path, job.cell, job.seed)
        if result.state in ENDED:
            board.ended(result)
        else:  # stopped by a signal
            self._relay.received.append(signal.SIGTERM)

    def _bury(self, path: Path, worker: Worker, died: Died, queue: Queue, board: Board) -> None:
        """Records the run of a dead worker as failed; runs side by side go on one by one."""
        if not worker.used:
            raise WorkerError(f"{died.reason} before the first run; see above, or {self._logs}")
        jobs, worker.doing, worker.compiling = worker.doing, [], False
        if len(jobs) > 1:
            queue.separate(jobs)
            board.say(f"{died.reason} with {len(jobs)} runs side by side; these go on one by one")
            return
        for job in jobs:
            write_json(job.directory / FAILED, {"reason": died.reason})
            board.ended(read_result(path, job.cell, job.seed))

    def _stop(self, number: int) -> int:
        """Lets all workers save and end; a second Ctrl-C kills them. Returns the exit status."""
        self.stopped = saved = True
        for worker in self._workers:
            worker.stop()
        until = time.monotonic() + GRACE
        for worker in self._workers:
            while (
                worker.alive
                and time.monotonic() < until
                and self._relay.received.count(signal.SIGINT) < 2
            ):
                time.sleep(POLL)
            saved = saved and not worker.alive
            worker.end(0.0)
        how = f"{signal.Signals(number).name}, {'saved' if saved else 'not all runs were saved'}"
        say(f"stopped by {how}; the same command goes on from there")
        if number == signal.SIGINT:
            return errors.INTERRUPTED
        return errors.RESUME if is_started_again() else errors.DONE


def _task(job: Job) -> tuple[tuple[str, ...], int, str]:
    """Returns the fields of the :class:`Task` of a run."""
    return job.options, job.seed, str(job.directory)
