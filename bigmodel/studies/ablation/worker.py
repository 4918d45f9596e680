"""The processes that make the runs of a study: how they are started, asked and ended.

On Linux they are forks of multiprocessing's fork server, which has imported what takes seconds but
has not asked JAX for its devices, for that starts threads, which no fork has. On other systems,
whose libraries are not made for forks, each process is started afresh.

The two ends of a connection exchange tuples. The study sends ``("log", path)``, ``("platform",)``,
``("metrics", options)``, ``("trial", tasks, count, workers)`` and ``("make", tasks)``. A worker
sends ``("answer", value)`` and, while it makes runs, ``("began",)`` and ``("ended", answer)``.
"""

from __future__ import annotations

import contextlib
import itertools
import multiprocessing
import os
import signal
import sys
import threading
import time
from collections.abc import Iterator
from multiprocessing import forkserver, resource_tracker
from multiprocessing.connection import Connection, wait
from pathlib import Path
from typing import Any, NamedTuple

from bigmodel import errors
from bigmodel.output import protect_output
from bigmodel.processes.signals import STOPS, Interrupted, StopRequest

FORKS = sys.platform == "linux"
PRELOADED = ("bigmodel.studies.ablation.making", "sklearn.datasets", "sklearn.metrics")
"""What a worker would import for each study; nothing of it starts a thread that a fork misses."""
TRIES = 3
"""How often it is tried to start a process."""
KILLED = 10.0
"""Seconds after which a process that was killed is waited for no longer."""
SERVER_DIED = 255
"""The exit status that multiprocessing gives where the fork server has died."""


class WorkerError(errors.JoinError):
    """The processes that make the runs cannot be started; the message is one line."""


class Died(NamedTuple):
    """Why a worker has ended before it was told to; ``stopped`` where a signal asked it to stop."""

    reason: str
    stopped: bool


def start_fork_server() -> None:
    """Starts the fork server, which imports meanwhile, unless it is there.

    It ends by itself when this process and all workers have ended.
    """
    if FORKS:
        forkserver.set_forkserver_preload(list(PRELOADED))
        resource_tracker.ensure_running()  # which unblocks signals
        with _blocked_signals():
            forkserver.ensure_running()


@contextlib.contextmanager
def _blocked_signals() -> Iterator[None]:
    """Blocks what asks a process to stop, in those that are started inside as well.

    So the fork server ignores such signals, and a worker gets them when it can save.
    """
    before = signal.pthread_sigmask(signal.SIG_BLOCK, STOPS)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


class Worker:
    """A process that makes runs of an experiment's script, and dies with this one.

    ``number`` tells it from the others. ``doing`` are the runs that it makes now, ``cell`` is the
    name of the last one's cell; ``compiling`` says whether its program is still to be compiled,
    ``used`` whether the worker has had a run.

    Raises:
        WorkerError: where the process cannot be started.
    """

    def __init__(self, script: Path, drawing: bool, number: int) -> None:
        self.number = number
        self.doing: list[Any] = []
        self.cell: str | None = None
        self.compiling = self.used = False
        context: Any = multiprocessing.get_context("forkserver" if FORKS else "spawn")
        self.connection: Connection
        self.connection, theirs = context.Pipe()
        self.process = context.Process(target=work, args=(theirs, script, drawing))
        with theirs:
            for tries in itertools.count(1):
                start_fork_server()
                try:
                    with _blocked_signals():
                        self.process.start()
                    break
                except (EOFError, OSError) as error:
                    # The fork server may be dying, and another one then takes its place.
                    if tries == TRIES:
                        raise WorkerError(f"no process can be started: {error!r}") from None
                    time.sleep(0.1)

    def send(self, *message: Any) -> None:
        """Sends a message; that the process is gone is seen by :meth:`hear`."""
        with contextlib.suppress(OSError):
            self.connection.send(message)

    def hear(self) -> Iterator[tuple[Any, ...] | Died]:
        """Returns what the worker has sent since; the last thing may be how it died."""
        try:
            while self.connection.poll():
                yield self.connection.recv()
        except (EOFError, OSError):
            self.process.join(KILLED)
            status = self.process.exitcode
            how = f"ended with status {status}"
            if status is not None and status < 0:
                how = f"was ended by {signal.Signals(-status).name}"
                if status == -signal.SIGKILL:
                    how += " (by hand, or because memory ran out)"
            elif status == SERVER_DIED:
                how = "was lost, and so was the fork server"
            yield Died(f"its process {how}", status in (errors.RESUME, -signal.SIGTERM))

    @property
    def alive(self) -> bool:
        """Whether the process runs."""
        return self.process.is_alive()

    def stop(self) -> None:
        """Asks the worker to save its runs and end."""
        self.process.terminate()
        self.connection.close()

    def end(self, seconds: float) -> None:
        """Waits until the worker has ended, and kills it after so many seconds."""
        self.connection.close()
        self.process.join(seconds)
        if self.process.is_alive():
            self.process.kill()
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self.process.pid, signal.SIGKILL)  # what it has started, too
            self.process.join(KILLED)


def work(connection: Connection, script: Path, drawing: bool) -> None:
    """Does what a study asks for, until the connection is closed or a signal stops it."""
    os.setsid()  # Ctrl-C is for the study, which then asks this process to stop
    threading.Thread(target=_die_with_study, daemon=True).start()
    protect_output()
    from bigmodel.processes.cpu import start_cpu
    from bigmodel.processes.flags import set_flags
    from bigmodel.runtime.xla import use_compilation_cache
    from bigmodel.studies.ablation.making import Maker

    with StopRequest() as stop:
        try:
            signal.pthread_sigmask(signal.SIG_UNBLOCK, STOPS)
            set_flags()
            start_cpu()
            use_compilation_cache()
            maker = Maker(script, stop, drawing)
            with contextlib.suppress(EOFError):
                while not stop.requested:
                    _respond(connection, maker, *connection.recv())
        except Interrupted:
            os._exit(errors.RESUME)


def _die_with_study() -> None:
    parent = multiprocessing.parent_process()
    assert parent is not None
    wait([parent.sentinel])
    os.killpg(0, signal.SIGKILL)


def _respond(connection: Connection, maker: Any, kind: str, *values: Any) -> None:
    import jax

    from bigmodel.studies.ablation.making import Task
    from bigmodel.tracking.progress import redirect_output

    def send(*message: Any) -> None:
        # A study that stops no longer listens, and its runs are to be saved all the same.
        with contextlib.suppress(OSError):
            connection.send(message)

    match kind, *values:
        case "log", path:
            redirect_output(path)
        case ("platform",):
            send("answer", jax.default_backend())
        case "metrics", options:
            send("answer", maker.metrics(options))
        case "trial", lines, count, workers:
            tasks = [Task(*line) for line in lines]
            trial = maker.try_out(tasks, count=count, workers=workers)
            send("answer", (trial.seeds_by, trial.why))
        case "make", lines:
            tasks = [Task(*line) for line in lines]
            maker.make(tasks, lambda: send("began"), lambda answer: send("ended", answer))
