"""Makes the runs of a study that are missing, by processes that share what they compile."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Any

from bigmodel import errors
from bigmodel.files import write_json
from bigmodel.launching.supervisor import Relay
from bigmodel.processes.distributed import is_started_again
from bigmodel.processes.signals import Interrupted
from bigmodel.studies.ablation.board import Board
from bigmodel.studies.ablation.crew import Died, Worker
from bigmodel.studies.ablation.nursery import Nursery
from bigmodel.studies.ablation.sharing import Job, Sharing, jobs_of
from bigmodel.studies.metric import choose_metric
from bigmodel.studies.results import ENDED, FAILED, forget_failures, read_result
from bigmodel.studies.study import Study

POLL = 0.02
CPU_JOBS = 2
"""Processes on a CPU of several cores, where a run of a small model leaves some of them idle."""
GRACE = 120.0
"""Seconds that a run has to save after a signal."""


class StoppedError(RuntimeError):
    """No run could be made any more; the message is one line."""


class Runner:
    """Processes for a study's runs, which start as soon as this is entered.

    Args:
        nursery: starts them.
        jobs: how many; None for one, or two where the devices are a CPU of several cores.
        drawing: whether the runs draw figures.
        idle: whether there is nothing to make, so that no process is started.
    """

    def __init__(
        self, nursery: Nursery, *, jobs: int | None, drawing: bool = False, idle: bool = False
    ) -> None:
        self._nursery = nursery
        self._drawing = drawing
        self._jobs = jobs
        self._idle = idle
        self._workers: list[Worker] = []
        self._doing: dict[Worker, list[Job]] = {}
        self._last: dict[Worker, str] = {}
        self._compiling: dict[Worker, str] = {}
        self._compiled: set[str] = set()
        self._relay = Relay()
        self._logs = Path("logs")

    def __enter__(self) -> Runner:
        self._relay.__enter__()
        if not self._idle:
            count = self._jobs or min(CPU_JOBS, os.cpu_count() or 1)
            self._workers = [Worker(self._nursery) for _ in range(count)]
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for worker in self._workers:
            if kind is None and worker.used:
                worker.release()
            else:
                worker.end(0.0)
        self._relay.__exit__(kind, error, trace)

    def run(
        self,
        path: Path,
        study: Study,
        configs: Sequence[Any],
        *,
        retry_failed: bool = False,
        home: Path | None = None,
    ) -> int:
        """Makes the missing runs of a study.

        Args:
            path: the study's folder.
            study: the study, or a part of it.
            configs: those of its cells.
            retry_failed: whether runs that failed are missing.
            home: the folder of which the caller has the lock, with the logs and what was decided;
                by default the study's.

        Returns:
            0 where all have been made, whatever has come of them; 1 where some could not be
            made; where a signal stopped it, 130 for Ctrl-C, 0 or 75 for SIGTERM.

        Raises:
            StoppedError: where no run can be made any more.
            StorageError: where something cannot be written.
        """
        home = home or path
        self._logs = home / "logs"
        if retry_failed:
            forget_failures(path, study)
        jobs = list(jobs_of(path, study, configs))
        for at, worker in enumerate(self._workers):
            worker.prepare(self._log(at), drawing=self._drawing)
        with Board(study, configs) as board:
            results = [read_result(path, job.cell, job.seed) for job in jobs]
            for result in results:
                if result.state in ENDED:
                    board.ended(result)
            missing = {r.directory for r in results if r.state not in ENDED}
            sharing = Sharing(path, study.seeds_by, home=home)
            try:
                if missing:
                    self._keep(len(missing))
                    sharing.decide(jobs, missing, self._try_out)
            except Interrupted as interruption:
                return self._stop(interruption.number)
            if sharing.said:
                board.say(sharing.said)
            return self._watch(path, sharing, board)

    def check_metric(self, path: Path, study: Study, configs: Sequence[Any]) -> int | None:
        """Asks a process whether the first or the last cell will have the metric of the study.

        Metrics of training are taken on trust.

        Returns:
            The exit status where a signal stopped it.

        Raises:
            InputError: where neither will have it.
        """
        if study.metric is None or study.metric.startswith("train/"):
            return None
        jobs = list(jobs_of(path, study, configs))
        names: dict[str, None] = {}
        try:
            for options in dict.fromkeys((jobs[0].options, jobs[-1].options)):
                self._workers[0].ask({"metrics": options})
                answer = self._hear()
                if answer is None or not answer["metrics"]:
                    return None
                names.update(dict.fromkeys(answer["metrics"]))
        except Interrupted as interruption:
            return self._stop(interruption.number)
        choose_metric(study.metric, list(names))
        return None

    def _log(self, at: int) -> Path:
        return self._logs / f"worker-{at}.log"

    def _keep(self, runs: int) -> None:
        """Ends the processes that so many runs do not need, or that would share an accelerator."""
        kept = min(len(self._workers), runs)
        if self._jobs is None and kept > 1:
            self._workers[0].ask({"platform": True})
            answer = self._hear()
            kept = kept if answer is not None and answer["platform"] == "cpu" else 1
        for worker in self._workers[kept:]:
            worker.end(0.0)
        del self._workers[kept:]

    def _try_out(self, jobs: Sequence[Job], count: int) -> tuple[str, str] | None:
        """Asks a worker for a trial; None where it could not be made."""
        crew = len(self._workers)
        self._workers[0].give({"trial": count, "crew": crew, "runs": [job.line for job in jobs]})
        answer = self._hear()
        if answer is None or "why" not in answer:
            return None
        return answer["seeds_by"], answer["why"]

    def _hear(self) -> dict[str, Any] | None:
        """What the first process answers; None where it died.

        Raises:
            Interrupted: where a signal is to stop all.
        """
        worker = self._workers[0]
        while True:
            answer = worker.look()
            if isinstance(answer, dict):
                worker.busy = False
                return answer
            if isinstance(answer, Died) and answer.stopped:
                self._relay.received.append(signal.SIGTERM)
            if self._relay.received:
                raise Interrupted(self._relay.received[0])
            if isinstance(answer, Died):
                return None
            time.sleep(POLL)

    def _watch(self, path: Path, sharing: Sharing, board: Board) -> int:
        while True:
            for at, worker in enumerate(self._workers):
                answer = worker.look()
                while isinstance(answer, dict):
                    if "begun" in answer and worker in self._compiling:
                        self._compiled.add(self._compiling.pop(worker))
                    elif "begun" not in answer:
                        self._take(path, worker, answer, board)
                    answer = worker.look()
                if answer is not None and answer.stopped:
                    # A scheduler signals all processes; this one may be the last to hear of it.
                    self._relay.received.append(signal.SIGTERM)
                if self._relay.received:
                    return self._stop(self._relay.received[0])
                if answer is not None:
                    self._bury(path, worker, answer, sharing, board)
                worn = sharing.alone and worker.used and not worker.busy
                if (answer is not None or worn) and sharing.waiting:
                    worker.end(GRACE)
                    worker = self._workers[at] = Worker(self._nursery)
                    worker.prepare(self._log(at), drawing=self._drawing)
                jobs = None if worker.busy else self._choose(worker, sharing)
                if jobs is not None:
                    self._doing[worker] = jobs
                    self._last[worker] = jobs[0].program
                    if len(jobs) == 1 and jobs[0].program not in self._compiled:
                        self._compiling[worker] = jobs[0].program
                    worker.give({"runs": [job.line for job in jobs]})
                    for job in jobs:
                        board.begun(job.cell, job.seed, job.directory)
            if not any(worker.busy for worker in self._workers):
                return errors.FAILED if board.failures else errors.DONE
            board.refresh()
            time.sleep(POLL)

    def _choose(self, worker: Worker, sharing: Sharing) -> list[Job] | None:
        busy = {job.program for doing in self._doing.values() for job in doing}
        compiling = self._compiling.values()
        return sharing.next(self._last.get(worker), busy, compiling, crew=len(self._workers))

    def _take(self, path: Path, worker: Worker, answer: dict[str, Any], board: Board) -> None:
        """Takes note of a run that has ended."""
        if answer.get("all"):
            raise StoppedError(answer["reason"])
        doing = self._doing[worker]
        job = next(job for job in doing if str(job.directory) == answer["directory"])
        doing.remove(job)
        worker.busy = bool(doing)
        self._compiling.pop(worker, None)
        result = read_result(path, job.cell, job.seed)
        if result.state in ENDED:
            board.ended(result)
        else:  # stopped by a signal
            self._relay.received.append(signal.SIGTERM)

    def _bury(self, path: Path, worker: Worker, died: Died, sharing: Sharing, board: Board) -> None:
        """Takes note of a process that died of a run; side by side, of one that is not known."""
        jobs = self._doing.pop(worker, [])
        worker.busy = False
        self._compiling.pop(worker, None)
        if not worker.used:
            raise StoppedError(f"{died.reason} before the first run; see above, or {self._logs}")
        if len(jobs) > 1:
            sharing.separate(jobs)
            board.say(f"{died.reason} with {len(jobs)} runs side by side; these go on in turns")
            return
        for job in jobs:
            write_json(job.directory / FAILED, {"reason": died.reason})
            board.ended(read_result(path, job.cell, job.seed))

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
