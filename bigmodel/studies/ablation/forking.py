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
from pathlib import Path

from bigmodel.launching.child import die_with_parent
from bigmodel.studies.ablation.nursery import MESSAGE

STOPS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)


def serve(control: socket.socket) -> bool:
    """Does as it is told until the other end is closed; True in a process that it has started."""
    own = os.getpid()
    forks: dict[int, int] = {}  # their process ids by number
    ended, wake = os.pipe()
    os.set_blocking(wake, False)
    os.set_blocking(ended, False)
    signal.set_wakeup_fd(wake, warn_on_full_buffer=False)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    for stop in STOPS:
        signal.signal(stop, signal.SIG_IGN)
    while True:
        ready, _, _ = select.select([control.fileno(), ended], [], [])
        if ended in ready:
            with contextlib.suppress(BlockingIOError):
                os.read(ended, MESSAGE)
            for number, pid in list(forks.items()):
                done, status = os.waitpid(pid, os.WNOHANG)
                if done:
                    del forks[number]
                    code = os.waitstatus_to_exitcode(status)
                    control.send(json.dumps({"number": number, "status": code}).encode())
        if control.fileno() in ready:
            message, descriptors, _, _ = socket.recv_fds(control, MESSAGE, 2)
            if not message:
                return False
            task = json.loads(message)
            if "start" in task:
                pid = _fork()
                if pid == 0:
                    die_with_parent()
                    if os.getppid() != own:
                        os._exit(1)
                    signal.set_wakeup_fd(-1)
                    os.close(ended)
                    os.close(wake)
                    _become(*descriptors)
                    return True
                forks[task["start"]] = pid
                for descriptor in descriptors:
                    os.close(descriptor)
            elif task["number"] in forks:
                _signal(forks[task["number"]], task["signal"])


def _fork() -> int:
    with warnings.catch_warnings():
        # Of the threads of NumPy's BLAS, which is prepared for it.
        warnings.simplefilter("ignore", DeprecationWarning)
        return os.fork()


def _become(stdin: int, stdout: int) -> None:
    """Makes a fork a process like one that was started afresh, on two file descriptors."""
    os.setsid()
    for number in (*STOPS, signal.SIGCHLD):
        signal.signal(number, signal.SIG_DFL)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    os.dup2(stdin, 0)
    os.dup2(stdout, 1)
    os.close(stdin)
    os.close(stdout)
    sys.stdin = os.fdopen(0)


def _signal(pid: int, number: int) -> None:
    """Sends a signal; the one that cannot be refused to the whole group."""
    with contextlib.suppress(ProcessLookupError):
        if number == signal.SIGKILL:
            os.killpg(pid, number)
        os.kill(pid, number)


def main(script: Path) -> None:
    """Imports, serves, and in a fork makes runs of a script."""
    # Collections of what is never freed cost a second in all, and undo the sharing of memory.
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
