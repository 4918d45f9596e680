"""The processes that make runs, as they are started, asked and ended."""

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from subprocess import PIPE
from typing import Any
from unittest.mock import Mock

import pytest
from seen import processes, wait_for

from bigmodel.studies.ablation import runner, worker
from bigmodel.studies.ablation.worker import PRELOADED, Died, Worker

MLP = Path(__file__).parent.parent.parent / "experiments" / "mlp.py"
slow = pytest.mark.slow
linux = pytest.mark.skipif(sys.platform != "linux", reason="looks for processes in /proc")


@pytest.fixture
def start() -> Iterator[Callable[[], Worker]]:
    """Starts workers, which end with the test."""
    started: list[Worker] = []

    def start() -> Worker:
        started.append(Worker(MLP, False, len(started)))
        return started[-1]

    yield start
    for one in started:
        one.end(0.0)
        assert not one.alive


def hear(one: Worker) -> Any:
    """What a worker says next."""
    return wait_for(lambda: next(one.hear(), None))


def platform(one: Worker) -> Any:
    one.send("platform")
    return hear(one)


def server() -> int:
    """The fork server of this process, which has no other child of that name."""
    (own,) = processes(parent=os.getpid())
    return own


def threads(process: int | str) -> list[str]:
    """The names of its threads, but for jemalloc's of pyarrow, which is made anew after a fork."""
    names = [path.read_text().strip() for path in Path(f"/proc/{process}/task").glob("*/comm")]
    return [name for name in names if name != "jemalloc_bg_thd"]


@slow
@linux
def test_workers_are_forks_of_one_thread_and_end_one_by_one(start: Callable[[], Worker]) -> None:
    first, second = start(), start()
    assert [platform(first), platform(second)] == [("answer", "cpu")] * 2
    assert len(threads(server())) == 1
    first.end(30.0)
    assert (first.alive, second.alive) == (False, True)
    assert platform(second) == ("answer", "cpu")


@slow
def test_where_nothing_forks_processes_are_started(start, monkeypatch) -> None:
    monkeypatch.setattr(worker, "FORKS", False)
    assert platform(start()) == ("answer", "cpu")


@slow
@pytest.mark.parametrize(
    ("working", "number", "reason", "stopped"),
    [
        (True, signal.SIGKILL, "was ended by SIGKILL (by hand, or because memory ran out)", False),
        (True, signal.SIGTERM, "ended with status 75", True),
        (False, signal.SIGTERM, "ended with status 75", True),
    ],
)
def test_how_a_worker_ended_is_told_and_no_signal_is_lost(
    start: Callable[[], Worker], working: bool, number: int, reason: str, stopped: bool
) -> None:
    """Not even that to one that has just been started."""
    one = start()
    if working:
        platform(one)
    os.kill(one.process.pid, number)
    assert hear(one) == Died(f"its process {reason}", stopped)


@slow
@linux
def test_workers_outlive_the_fork_server_and_others_can_be_started(start) -> None:
    first = start()
    platform(first)
    one = server()
    os.kill(one, signal.SIGTERM)  # is for the workers, which can save
    assert platform(start()) == ("answer", "cpu")
    assert server() == one
    os.kill(one, signal.SIGKILL)
    assert platform(first) == ("answer", "cpu")
    assert platform(start()) == ("answer", "cpu")
    os.kill(first.process.pid, signal.SIGKILL)
    assert hear(first) == Died("its process was lost, and so was the fork server", False)


@linux
def test_what_is_imported_before_a_fork_asks_for_no_device_and_starts_no_thread() -> None:
    """Of the system's threads, those of BLAS end by themselves before a fork."""
    code = (
        f"import os, {', '.join(PRELOADED)}\n"
        "from jax._src import xla_bridge\n"
        "if not os.fork(): os._exit(0)\n"
        "print(xla_bridge.backends_are_initialized(), flush=True)\n"
        "input()"
    )
    command = [sys.executable, "-c", code]
    with subprocess.Popen(command, stdin=PIPE, stdout=PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "False\n"
        assert len(threads(process.pid)) == 1
        process.communicate("\n")


@pytest.mark.parametrize(
    ("jobs", "cores", "kind", "runs", "started"),
    [
        (None, 8, "cpu", 9, 2),
        (None, 8, "gpu", 9, 1),
        (None, 8, "cpu", 1, 1),
        (None, 1, "cpu", 9, 1),
        (3, 8, "gpu", 9, 3),
        (3, 8, "cpu", 2, 2),
    ],
)
def test_two_share_a_cpu_and_none_an_accelerator_unless_that_is_asked_for(
    monkeypatch: pytest.MonkeyPatch,
    jobs: int | None,
    cores: int,
    kind: str,
    runs: int,
    started: int,
) -> None:
    def fake(script: Path, drawing: bool, number: int) -> Mock:
        del script, drawing
        return Mock(number=number, **{"hear.return_value": iter([("answer", kind)])})

    monkeypatch.setattr(runner, "Worker", fake)
    monkeypatch.setattr(runner.os, "cpu_count", lambda: cores)
    with runner.Runner(MLP, jobs=jobs) as made:
        made._start(runs)
        assert [one.number for one in made._workers] == list(range(started))
