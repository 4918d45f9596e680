"""A study whose processes are killed at any moment, and made again, is as one undisturbed."""

import os
import random
import signal
import subprocess
import time
from pathlib import Path

import pytest
from made_study import ENVIRONMENT, Made, command, made, results
from seen import processes, wait_for, workers

SEED = random.SystemRandom().randrange(10**6)

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("ablate")]


def begin(study: Made, folder: Path, *words: str) -> subprocess.Popen[str]:
    """Begins a study in a process group of its own."""
    return subprocess.Popen(
        command(study.script, *words, *study.words),
        cwd=folder,
        env=ENVIRONMENT,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )


def begun(study: Made, folder: Path, *words: str) -> subprocess.Popen[str]:
    """A study in whose first run something has been logged."""
    process = begin(study, folder, *words)
    wait_for(lambda: any((folder / "studies").rglob("metrics.jsonl")))
    return process


def test_killed_at_random_moments(either_way: Made, tmp_path: Path) -> None:
    chance = random.Random(f"{SEED} {either_way.words}")
    for kill in (os.kill, os.killpg):  # the fork server is in the group, and the workers are not
        process = begin(either_way, tmp_path)
        time.sleep(chance.uniform(0.2, 1.0) * either_way.seconds)
        kill(process.pid, signal.SIGKILL)
        process.communicate()
        wait_for(lambda: not processes(tmp_path), 10.0)
    either_way.again(tmp_path)
    assert results(tmp_path) == results(either_way.folder), f"seed {SEED}"


@pytest.mark.matrix
@pytest.mark.parametrize(
    ("number", "status"), [(signal.SIGTERM, 0), (signal.SIGHUP, 0), (signal.SIGINT, 130)]
)
def test_stopped_by_a_signal_saves_and_goes_on(
    either_way: Made, number: signal.Signals, status: int, tmp_path: Path
) -> None:
    process = begun(either_way, tmp_path)
    os.killpg(process.pid, number)  # as a terminal does
    output, _ = process.communicate(timeout=100)
    assert process.returncode == status, output
    assert output.splitlines()[-1].startswith(f"stopped by {number.name}, saved")
    assert not processes(tmp_path)
    assert not any((tmp_path / "studies").rglob("failed.json"))
    either_way.again(tmp_path)
    assert results(tmp_path) == results(either_way.folder)


def test_a_second_interrupt_stops_at_once(either_way: Made, tmp_path: Path) -> None:
    """A worker that hangs is not waited for."""
    process = begun(either_way, tmp_path, "--jobs=1")
    (worker,) = workers(tmp_path)
    os.kill(worker, signal.SIGSTOP)
    process.send_signal(signal.SIGINT)
    time.sleep(1.0)
    assert process.poll() is None
    process.send_signal(signal.SIGINT)
    output, _ = process.communicate(timeout=10)
    assert process.returncode == 130, output
    assert "stopped by SIGINT, not all runs were saved" in output
    assert not processes(tmp_path)


def begun_and_robbed(study: Made, folder: Path) -> tuple[int, str]:
    """The status and the output of a study whose process for runs is killed in the first run."""
    process = begun(study, folder, "--jobs=1")
    (worker,) = workers(folder)
    os.kill(worker, signal.SIGKILL)
    output, _ = process.communicate(timeout=200)
    return process.returncode, output


@pytest.mark.matrix
def test_the_run_of_a_killed_process_has_failed_and_is_made_when_asked(
    sequential: Made, tmp_path: Path
) -> None:
    status, output = begun_and_robbed(sequential, tmp_path)
    assert status == 1, output
    reasons = [run.reason for run in made(tmp_path) if run.state == "failed"]
    assert reasons == ["its process was ended by SIGKILL (by hand, or because memory ran out)"]
    sequential.again(tmp_path, "--retry-failed")
    assert results(tmp_path) == results(sequential.folder)


@pytest.mark.matrix
def test_of_a_killed_process_runs_side_by_side_go_on_sequential(
    side_by_side: Made, tmp_path: Path
) -> None:
    status, output = begun_and_robbed(side_by_side, tmp_path)
    assert status == 0, output
    assert "with 2 runs side by side; these go on one by one" in output
    states = [run.state for run in made(tmp_path)]
    assert states == [run.state for run in made(side_by_side.folder)]
