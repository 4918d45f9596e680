"""The processes that make runs, as they are started, asked and ended."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from seen import processes

from bigmodel.studies.ablation import nursery as nurseries
from bigmodel.studies.ablation.crew import Died, Worker
from bigmodel.studies.ablation.nursery import Nursery

ROOT = Path(__file__).parent.parent.parent
LINUX = sys.platform == "linux"

pytestmark = pytest.mark.slow


@pytest.fixture
def script(tmp_path: Path) -> Path:
    """An experiment's script of which no other test knows."""
    path = tmp_path / "mine.py"
    path.write_text((ROOT / "experiments" / "mlp.py").read_text())
    return path


@pytest.fixture
def nursery(script: Path) -> Iterator[Nursery]:
    with closing(Nursery(script)) as nursery:
        nursery.prepare()
        yield nursery


def answer(worker: Worker, seconds: float = 60.0) -> dict[str, Any] | Died:
    """What a worker says next."""
    until = time.monotonic() + seconds
    while (said := worker.look()) is None:
        assert time.monotonic() < until, "no answer"
        time.sleep(0.02)
    return said


def platform(worker: Worker) -> dict[str, Any] | Died:
    worker.ask({"platform": True})
    return answer(worker)


def test_forks_end_one_by_one_and_none_is_left(script: Path) -> None:
    with closing(Nursery(script)) as nursery:
        first, second = Worker(nursery), Worker(nursery)
        assert [platform(first), platform(second)] == [{"platform": "cpu"}] * 2
        if LINUX:
            assert sorted(p.fork for p in processes(script)) == [False, True, True]
        first.end(30.0)
        assert (first.alive, second.alive) == (False, True)
        assert platform(second) == {"platform": "cpu"}
        third = Worker(nursery)
        assert platform(third) == {"platform": "cpu"}
        second.release()
        third.release()
    assert not second.alive
    assert not processes(script)


def test_where_nothing_forks_processes_are_started(
    script: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(nurseries, "FORKS", False)
    with closing(Nursery(script)) as nursery:
        nursery.prepare()
        worker = Worker(nursery)
        assert platform(worker) == {"platform": "cpu"}
        assert not any(process.fork for process in processes(script))
        worker.end(30.0)
    assert not processes(script)


@pytest.mark.skipif(not LINUX, reason="looks for processes in /proc")
def test_how_a_fork_ended_is_told(nursery: Nursery, script: Path) -> None:
    worker = Worker(nursery)
    platform(worker)
    (fork,) = [process for process in processes(script) if process.fork]
    os.kill(fork.number, signal.SIGKILL)
    died = answer(worker)
    assert isinstance(died, Died)
    worker.end(0.0)
    assert died.reason.startswith("its process was ended by SIGKILL")
    assert not died.stopped


@pytest.mark.skipif(not LINUX, reason="looks for processes in /proc")
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_with_the_one_that_forks_all_die_and_others_can_be_started(
    number: signal.Signals, nursery: Nursery, script: Path
) -> None:
    (first,) = processes(script)
    worker = Worker(nursery)
    if number is signal.SIGKILL:  # one that has imported leaves it to its forks to stop
        platform(worker)
    os.kill(first.number, number)
    died = answer(worker)
    worker.end(0.0)
    assert isinstance(died, Died)
    assert died.stopped == (number is signal.SIGTERM)
    until = time.monotonic() + 10.0
    while processes(script):
        assert time.monotonic() < until
    another = Worker(nursery)
    assert platform(another) == {"platform": "cpu"}
    another.end(30.0)


@pytest.mark.skipif(not LINUX, reason="looks for processes in /proc")
def test_one_that_is_stopped_before_it_is_asked_is_not_replaced(
    nursery: Nursery, script: Path
) -> None:
    (first,) = processes(script)
    os.kill(first.number, signal.SIGTERM)
    until = time.monotonic() + 10.0
    while processes(script):
        assert time.monotonic() < until
    worker = Worker(nursery)
    died = answer(worker)
    worker.end(0.0)
    assert isinstance(died, Died)
    assert died.stopped


def test_what_a_process_imports_before_it_forks_asks_for_no_device_and_starts_no_thread() -> None:
    code = (
        "import threading, sklearn.datasets, sklearn.metrics;"
        "from bigmodel.studies.ablation import worker;"
        "from jax._src import xla_bridge;"
        "print(xla_bridge.backends_are_initialized(), threading.active_count())"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["False", "1"]
