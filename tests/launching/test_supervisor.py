"""The launcher watches small programs that beat, fail and hang as a training would."""

import os
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent.parent
BEGIN = """
import os, signal, struct, sys, time
from pathlib import Path
rank, count = int(os.environ["BIGMODEL_PROCESS"]), int(os.environ["BIGMODEL_PROCESSES"])
tries = Path(sys.argv[1]) / f"tries-{rank}"
tries.write_text(tries.read_text() + "x" if tries.exists() else "x")
attempt = len(tries.read_text())
(Path(sys.argv[1]) / f"pid-{rank}-{attempt}").write_text(str(os.getpid()))
def beat(n, step):
    path = Path(os.environ["BIGMODEL_CONTROL"]) / f"rank-{rank}.heartbeat"
    path.write_bytes(struct.pack("<qq", n, step))
"""


def start(folder: Path, body: str, *options: str, processes: int = 2) -> subprocess.Popen:
    script = folder / "one.py"
    script.write_text(BEGIN + textwrap.dedent(body))
    command = [sys.executable, str(ROOT / "launch.py"), "run", str(script), *options]
    command += [f"--processes={processes}", "--", str(folder)]
    pipe = subprocess.PIPE
    return subprocess.Popen(command, stdout=pipe, stderr=pipe, text=True)


def launch(folder: Path, body: str, *options: str, processes: int = 2) -> tuple[int, str, str]:
    process = start(folder, body, *options, processes=processes)
    out, err = process.communicate(timeout=120)
    return process.returncode, out, err


def is_gone(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    return False


def wait_for(done: Callable[[], object]) -> None:
    until = time.monotonic() + 60
    while not done() and time.monotonic() < until:
        time.sleep(0.05)
    assert done()


def test_each_process_has_its_rank_and_only_the_first_prints(tmp_path: Path) -> None:
    body = "print(rank, count, os.environ['JAX_NUM_CPU_DEVICES'], flush=True)"
    status, out, err = launch(tmp_path, body, "--devices=8", processes=4)
    assert (status, out, err) == (0, "0 4 2\n", "")


def test_a_killed_process_ends_the_others_and_all_start_again(tmp_path: Path) -> None:
    body = """
    beat(1, 7)
    if attempt == 1:
        print("about to die", flush=True)
        if rank == 1:
            time.sleep(0.5)
            os.kill(os.getpid(), signal.SIGKILL)
        time.sleep(600)
    """
    status, _, err = launch(tmp_path, body, "--retries=1")
    assert status == 0
    assert "rank 1 was ended by SIGKILL" in err
    assert "after step 7; its last lines: about to die" in err
    assert "starting 2 processes again" in err
    assert err.count("\n") == 1
    assert is_gone(int((tmp_path / "pid-0-1").read_text()))


def test_retries_are_used_up_and_the_last_failure_is_the_status(tmp_path: Path) -> None:
    body = "sys.exit(5 if rank else 69)"
    status, _, err = launch(tmp_path, body, "--retries=1")
    assert status == 5
    assert err.count("rank 1 ended with status 5 before the first step") == 2
    assert "no retry is left" in err


@pytest.mark.parametrize("status", [2, 3])
def test_what_would_only_come_again_is_not_tried_again(tmp_path: Path, status: int) -> None:
    body = f"""
    if rank == 0:
        print("error: this cannot work", file=sys.stderr)
    sys.exit({status})
    """
    found, _, err = launch(tmp_path, body, "--retries=3")
    assert found == status
    assert err == "error: this cannot work\n"


def test_a_hang_is_ended_and_says_where(tmp_path: Path) -> None:
    body = """
    import faulthandler
    stacks = open(Path(os.environ["BIGMODEL_CONTROL"]) / f"rank-{rank}.stacks", "w")
    faulthandler.register(signal.SIGUSR1, file=stacks)
    (Path(os.environ["BIGMODEL_CONTROL"]) / f"rank-{rank}.log").write_text(sys.argv[1] + "/log")
    def step_that_never_ends():
        while True:
            time.sleep(0.1)
            if rank == 0:
                beat(time.monotonic_ns(), 12)
    beat(1, 12)
    if attempt == 1:
        step_that_never_ends()
    """
    status, _, err = launch(tmp_path, body, "--retries=1", "--watchdog=2")
    assert status == 0
    assert "rank 1 hangs after step 12, no step for 2 s" in err
    assert "in step_that_never_ends" in err
    assert "step_that_never_ends" in (tmp_path / "rank-1.stacks").read_text()


def test_a_stopped_process_is_named(tmp_path: Path) -> None:
    body = """
    beat(1, 3)
    if rank == 1 and attempt == 1:
        os.kill(os.getpid(), signal.SIGSTOP)
    if attempt == 1:
        time.sleep(600)
    """
    status, _, err = launch(tmp_path, body, "--retries=1", "--watchdog=2")
    assert status == 0
    assert "rank 1 hangs after step 3" in err
    assert "rank 1: stopped by SIGSTOP" in err
    assert is_gone(int((tmp_path / "pid-1-1").read_text()))


def test_elastic_goes_on_with_a_number_that_divides(tmp_path: Path) -> None:
    body = """
    if count == 4:
        if rank == 3:
            os.kill(os.getpid(), signal.SIGKILL)
        time.sleep(600)
    print(count, flush=True)
    """
    status, out, err = launch(tmp_path, body, "--retries=1", "--elastic", processes=4)
    assert (status, out) == (0, "2\n")
    assert "starting 2 processes again" in err


@pytest.mark.parametrize(("number", "status"), [(signal.SIGTERM, 75), (signal.SIGINT, 130)])
def test_a_signal_to_the_launcher_reaches_all(tmp_path: Path, number: int, status: int) -> None:
    body = """
    def save(number, frame):
        (Path(sys.argv[1]) / f"saved-{rank}").touch()
        sys.exit(75 if number == signal.SIGTERM else 130)
    signal.signal(signal.SIGTERM, save)
    signal.signal(signal.SIGINT, save)
    (Path(sys.argv[1]) / f"ready-{rank}").touch()
    time.sleep(600)
    """
    process = start(tmp_path, body, "--retries=3")
    for rank in range(2):
        wait_for((tmp_path / f"ready-{rank}").exists)
    process.send_signal(number)
    process.communicate(timeout=60)
    assert process.returncode == status
    assert all((tmp_path / f"saved-{rank}").exists() for rank in range(2))


def test_a_signal_to_one_process_is_status_75(tmp_path: Path) -> None:
    body = """
    if rank == 1:
        os.kill(os.getpid(), signal.SIGTERM)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(75))
    time.sleep(600)
    """
    status, _, err = launch(tmp_path, body, "--retries=3")
    assert (status, err) == (75, "")


def test_no_process_outlives_a_launcher_that_is_killed(tmp_path: Path) -> None:
    process = start(tmp_path, "time.sleep(600)")
    pids = []
    for rank in range(2):
        path = tmp_path / f"pid-{rank}-1"
        wait_for(lambda path=path: path.exists() and path.read_text())
        pids.append(int(path.read_text()))
    process.kill()
    process.communicate(timeout=60)
    wait_for(lambda: all(map(is_gone, pids)))
