"""The process of which those that make a study's runs are forks.

It reads what to do from the socket that is its standard input, a message at a time: to start a
process on two file descriptors, or to send one a signal. It tells when one has ended. It dies with
the one that has started it, and its forks with it.
"""

from __future__ import annotations

import contextlib
import gc
import json
import os
import select
import signal
import socket
import sys
import warnings
from collections.abc import Iterator
from pathlib import Path

from bigmodel.launching.child import die_with_parent
from bigmodel.studies.ablation.nursery import MESSAGE

STOPS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)


def serve(control: socket.socket) -> bool:
    """Does as it is told until the other end is closed; True in a process that it has started."""
    own, forks = os.getpid(), _Forks()
    for stop in STOPS:
        signal.signal(stop, signal.SIG_IGN)
    while True:
        ready, _, _ = select.select([control.fileno(), forks.news], [], [])
        if forks.news in ready:
            for number, status in forks.ended():
                control.send(json.dumps({"number": number, "status": status}).encode())
        if control.fileno() not in ready:
            continue
        message, descriptors, _, _ = socket.recv_fds(control, MESSAGE, 2)
        if not message:
            return False
        task = json.loads(message)
        if "signal" in task:
            forks.signal(task["number"], task["signal"])
            continue
        if not forks.start(task["start"]):
            forks.forget()
            _become(own, *descriptors)
            return True
        for descriptor in descriptors:
            os.close(descriptor)


class _Forks:
    """The forks of this process by number; ``news`` can be read when one has ended."""

    def __init__(self) -> None:
        self._running: dict[int, int] = {}
        self.news, self._wake = os.pipe()
        for end in (self.news, self._wake):
            os.set_blocking(end, False)
        signal.set_wakeup_fd(self._wake, warn_on_full_buffer=False)
        signal.signal(signal.SIGCHLD, lambda *_: None)

    def start(self, number: int) -> bool:
        """Forks; false in the fork."""
        with warnings.catch_warnings():
            # Of the threads of NumPy's BLAS, which is prepared for it.
            warnings.simplefilter("ignore", DeprecationWarning)
            process = os.fork()
        self._running[number] = process
        return process != 0

    def forget(self) -> None:
        """Leaves the others alone, as a fork has to."""
        signal.set_wakeup_fd(-1)
        os.close(self.news)
        os.close(self._wake)

    def ended(self) -> Iterator[tuple[int, int]]:
        """Those that have ended since, and their exit statuses, negative for a signal."""
        with contextlib.suppress(BlockingIOError):
            os.read(self.news, MESSAGE)
        for number, process in list(self._running.items()):
            done, status = os.waitpid(process, os.WNOHANG)
            if done:
                del self._running[number]
                yield number, os.waitstatus_to_exitcode(status)

    def signal(self, number: int, sent: int) -> None:
        """Sends a signal; the one that cannot be refused to what the fork has started, too."""
        process = self._running.get(number)
        if process is None:
            return
        if sent == signal.SIGKILL:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process, sent)
        os.kill(process, sent)


def _become(parent: int, stdin: int, stdout: int) -> None:
    """Makes a fork a process like one that was started afresh, on two file descriptors."""
    die_with_parent()
    if os.getppid() != parent:
        os._exit(1)
    os.setsid()
    for number in (*STOPS, signal.SIGCHLD):
        signal.signal(number, signal.SIG_DFL)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    os.dup2(stdin, 0)
    os.dup2(stdout, 1)
    os.close(stdin)
    os.close(stdout)
    sys.stdin = os.fdopen(0)


def main(script: Path) -> None:
    """Imports, serves, and in a fork makes runs of a script."""
    # Collections of what is never freed take time, and undo the sharing of memory.
    gc.disable()
    # What loading small data and measuring predictions import when they are needed.
    import sklearn.datasets
    import sklearn.metrics  # noqa: F401

    from bigmodel.studies.ablation import worker

    gc.freeze()
    with socket.socket(fileno=os.dup(0)) as control:
        is_fork = serve(control)
    if is_fork:
        gc.enable()
        worker.main(script)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
