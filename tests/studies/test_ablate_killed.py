"""A study whose processes are killed at any moment, and made again, is as one undisturbed."""

import os
import random
import signal
import subprocess
import time
from pathlib import Path

import pytest
from made_study import ENVIRONMENT, ablate, command, made, results, write_script

SEED = random.SystemRandom().randrange(10**6)
VARY = ("--vary", "optimizer.learning-rate=0.05,0.2", "--seeds", "2")
LONG = ("--", "--run.steps=400", "--run.eval-every=40", "--run.log-every=20")

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("ablate_killed")]


def begin(script: Path, *words: str) -> subprocess.Popen[str]:
    """Begins a study in a process group of its own."""
    return subprocess.Popen(
        command(script, *words),
        cwd=script.parent,
        env=ENVIRONMENT,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )


def workers(script: Path) -> list[int]:
    """The processes that make runs of a script now."""
    found = []
    for path in Path("/proc").glob("[0-9]*"):
        try:
            words = (path / "cmdline").read_bytes().split(b"\0")
            state = (path / "stat").read_text().rpartition(")")[2].split()[0]
        except OSError:
            continue
        ours = b"bigmodel.studies.ablation.worker" in words and str(script).encode() in words
        if ours and state != "Z":
            found.append(int(path.name))
    return found


def wait_for(done, seconds: float = 60.0) -> None:
    until = time.monotonic() + seconds
    while not done():
        assert time.monotonic() < until
        time.sleep(0.02)


@pytest.fixture(scope="module", params=["turns", "vmap"])
def whole(request: pytest.FixtureRequest, tmp_path_factory) -> tuple[str, Path, float]:
    """An undisturbed study, how its runs share a process, and the seconds that it took."""
    script = write_script(tmp_path_factory.mktemp(request.param))
    started = time.monotonic()
    ablate(script, *VARY, "--seeds-by", request.param, *LONG)
    return request.param, script.parent, time.monotonic() - started


def test_killed_at_random_moments(whole: tuple[str, Path, float], tmp_path: Path) -> None:
    seeds_by, undisturbed, seconds = whole
    script = write_script(tmp_path)
    words = (*VARY, "--seeds-by", seeds_by, *LONG)
    chance = random.Random(f"{SEED} {seeds_by}")
    for _ in range(2):
        process = begin(script, *words)
        time.sleep(chance.uniform(0.2, 1.0) * seconds)
        os.killpg(process.pid, signal.SIGKILL)
        process.communicate()
        wait_for(lambda: not workers(script), 10.0)
    ablate(script, *words)
    assert results(tmp_path) == results(undisturbed), f"seed {SEED}"


@pytest.mark.parametrize(("number", "status"), [(signal.SIGTERM, 0), (signal.SIGINT, 130)])
def test_stopped_by_a_signal_saves_and_goes_on(
    whole: tuple[str, Path, float], number: signal.Signals, status: int, tmp_path: Path
) -> None:
    seeds_by, undisturbed, _ = whole
    script = write_script(tmp_path)
    words = (*VARY, "--seeds-by", seeds_by, *LONG)
    process = begin(script, *words)
    wait_for(lambda: any((tmp_path / "studies").rglob("metrics.jsonl")))
    process.send_signal(number)
    output, _ = process.communicate(timeout=100)
    assert process.returncode == status, output
    assert f"stopped by {number.name}, saved" in output
    assert not workers(script)
    assert not any((tmp_path / "studies").rglob("failed.json"))
    ablate(script, *words)
    assert results(tmp_path) == results(undisturbed)


def test_a_worker_that_is_killed_costs_no_result(whole, tmp_path: Path) -> None:
    """In turns its run has failed and is made again when asked; side by side all are, in turns."""
    seeds_by, undisturbed, _ = whole
    script = write_script(tmp_path)
    words = (*VARY, "--seeds-by", seeds_by)
    process = begin(script, *words, *LONG)
    wait_for(lambda: any((tmp_path / "studies").rglob("metrics.jsonl")))
    (worker,) = workers(script)
    os.kill(worker, signal.SIGKILL)
    output, _ = process.communicate(timeout=200)
    assert process.returncode == (1 if seeds_by == "turns" else 0), output
    if seeds_by == "turns":
        failed = [run for run in made(tmp_path) if run.state == "failed"]
        assert [run.reason for run in failed] == [
            "its process was ended by SIGKILL (by hand, or because memory ran out)"
        ]
        ablate(script, *words, "--retry-failed", *LONG)
        assert results(tmp_path) == results(undisturbed)
    else:
        assert "with 4 runs side by side; these go on in turns" in output
        assert {run.state for run in made(tmp_path)} == {"completed"}


def test_two_processes_make_what_one_makes(whole, tmp_path: Path) -> None:
    seeds_by, undisturbed, _ = whole
    script = write_script(tmp_path)
    ablate(script, *VARY, "--seeds-by", seeds_by, "--jobs", "2", *LONG)
    assert results(tmp_path) == results(undisturbed)
