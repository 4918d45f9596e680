"""Jobs of ``launch.py submit`` on a real SLURM of two nodes; see ``docs/slurm.md``."""

import json
import os
import shutil
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
from slurm_cluster import MISSING, Cluster
from test_contract import SCRIPTS, load, logged, summary

from bigmodel.studies.ablation.board import last_step

pytestmark = [
    pytest.mark.skipif(bool(MISSING), reason=f"SLURM is not installed: no {', '.join(MISSING)}"),
    pytest.mark.xdist_group("slurm"),
]
CNN, MLP = (next(s for s in SCRIPTS if s.stem == name) for name in ("cnn", "mlp"))
STEPS = 200
LONG = 1200.0
"""Seconds after which a training hangs, on however busy a machine."""
PREEMPTING = ("sbatch", "-p", "high", "-N2", "-o", "/dev/null", "--wrap=:")
NODES = ("--nodes", "2", "--name", "job")


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    running = Cluster(tmp_path_factory.mktemp("slurm"))
    yield running
    running.stop()


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """A directory with a difficult name and the probe in it."""
    path = tmp_path / """a "b" c's $HOME"""
    path.mkdir()
    shutil.copy(Path(__file__).parent / "probe.py", path)
    return path


def started(home: Path, rank: int) -> dict:
    return json.loads((home / "runs" / "job" / f"started-{rank}.json").read_text())


def output(home: Path, job: str) -> str:
    return (home / "slurm" / f"job-{job}.log").read_text()


def begin(cluster: Cluster, home: Path, *arguments: str) -> str:
    """Submits a probe that waits for a signal, and waits until it does."""
    job = cluster.submit(home, "probe.py", *NODES, *arguments, "--", "--wait")
    waiting = [home / "runs" / "job" / f"waiting-{rank}" for rank in range(2)]
    cluster.wait_for(lambda: all(path.exists() for path in waiting))
    return job


def ends_well_at_its_second_start(
    cluster: Cluster, home: Path, job: str, seconds: float = 60.0
) -> None:
    cluster.wait_for_state(job, "PENDING", seconds)
    assert (home / "runs" / "job" / "saved-1").exists()
    assert cluster.field(job, "Restarts") == "1"
    cluster.wait_for_state(job, "COMPLETED")
    assert cluster.field(job, "Restarts") == "1"


def train(cluster: Cluster, home: Path, name: str, *arguments: str) -> str:
    """Submits a tiny training and gives the number of its job."""
    options = [*load(CNN).TINY, f"--run.steps={STEPS}", "--run.eval-every=50", "--run.log-every=5"]
    return cluster.submit(home, str(CNN), "--nodes=2", "--name", name, *arguments, "--", *options)


def lines(home: Path, name: str) -> int:
    """The number of lines of metrics that a training has written."""
    metrics = home / "runs" / name / "metrics.jsonl"
    return len(metrics.read_text().splitlines()) if metrics.exists() else 0


def process_of(job: str, *, rank: int) -> int | None:
    """The process of a rank of a training."""
    wanted = {f"SLURM_JOB_ID={job}", f"SLURM_PROCID={rank}", "BIGMODEL_RESUMES=1"}
    for path in Path("/proc").glob("[0-9]*"):
        try:
            environment = (path / "environ").read_bytes().decode(errors="replace").split("\0")
            command = (path / "cmdline").read_bytes().decode(errors="replace").split("\0")
        except OSError:
            continue
        if wanted <= {*environment} and command[1:2] == [str(CNN)]:
            return int(path.name)
    return None


def test_processes_know_their_places_and_get_the_options_unchanged(
    cluster: Cluster, home: Path
) -> None:
    options = ["--seed", "1", "a b", "it's", '"', "$HOME", "\\", "*", ""]
    job = cluster.submit(home, "probe.py", *NODES, "--", *options)
    cluster.wait_for_state(job, "COMPLETED")
    for rank in range(2):
        found = started(home, rank)
        assert found["options"] == options
        assert found["SLURM_NTASKS"] == "2"
        assert found["SLURMD_NODENAME"] == f"127.0.0.{rank + 1}"


def test_a_run_that_is_asked_to_stop_goes_back_into_the_queue_and_on(cluster, home: Path) -> None:
    job = begin(cluster, home)
    cluster.run("scancel", "--signal=TERM", job)
    ends_well_at_its_second_start(cluster, home, job)
    assert output(home, job).count("exit code 75") == 2


def test_a_job_that_is_cancelled_stays_so(cluster: Cluster, home: Path) -> None:
    job = begin(cluster, home)
    cluster.run("scancel", job)
    cluster.wait_for_state(job, "CANCELLED")
    cluster.wait_for(lambda: cluster.run("squeue", "-h") == "")
    assert cluster.field(job, "Restarts") == "0"
    assert (home / "runs" / "job" / "saved-1").exists()


@pytest.mark.matrix
@pytest.mark.parametrize("partition", ["low", "grace"])
def test_a_preempted_run_saves_and_goes_on(cluster: Cluster, home: Path, partition: str) -> None:
    job = begin(cluster, home, "--partition", partition)
    other = cluster.run(*PREEMPTING).split()[-1]
    cluster.wait_for_state(other, "COMPLETED")
    ends_well_at_its_second_start(cluster, home, job)


@pytest.mark.matrix
def test_a_requeued_run_saves_and_goes_on(cluster: Cluster, home: Path) -> None:
    job = begin(cluster, home)
    cluster.run("scontrol", "requeue", job)
    ends_well_at_its_second_start(cluster, home, job)


@pytest.mark.matrix
@pytest.mark.slow
def test_a_run_saves_before_its_time_is_up_and_goes_on(cluster: Cluster, home: Path) -> None:
    job = begin(cluster, home, "--time", "1", "--notice", "20")
    ends_well_at_its_second_start(cluster, home, job, 120)


@pytest.mark.matrix
def test_a_process_that_dies_starts_again_and_bad_input_does_not(
    cluster: Cluster, home: Path
) -> None:
    job = cluster.submit(home, "probe.py", *NODES, "--", "--fail=9")
    cluster.wait_for_state(job, "COMPLETED")
    assert output(home, job).count("again from the last checkpoint") == 1
    shutil.rmtree(home / "runs")
    job = cluster.submit(home, "probe.py", *NODES, "--", "--fail=2")
    cluster.wait_for_state(job, "FAILED")
    assert cluster.field(job, "ExitCode") == "2:0"
    assert "again" not in output(home, job)


@pytest.mark.matrix
@pytest.mark.slow
def test_a_training_on_two_nodes_stopped_in_every_way_ends_with_the_same_bits(
    cluster: Cluster, tmp_path: Path
) -> None:
    whole = train(cluster, tmp_path, "whole")
    cluster.wait_for_state(whole, "COMPLETED", LONG)
    cut = train(cluster, tmp_path, "cut")
    for way in (("scancel", "--signal=TERM", cut), ("scontrol", "requeue", cut), PREEMPTING):
        cluster.wait_for_state(cut, "RUNNING")
        before = lines(tmp_path, "cut")
        cluster.wait_for(lambda before=before: lines(tmp_path, "cut") > before, LONG)
        cluster.run(*way)
        cluster.wait_for_state(cut, "PENDING", LONG)
    cluster.wait_for_state(cut, "RUNNING")
    cluster.wait_for(lambda: process_of(cut, rank=1) is not None)
    os.kill(process_of(cut, rank=1) or 0, signal.SIGKILL)
    cluster.wait_for_state(cut, "COMPLETED", LONG)
    log = (tmp_path / "slurm" / f"cut-{cut}.log").read_text()
    assert log.count("status 137; again from the last checkpoint, tries left: 3") == 1
    assert cluster.field(cut, "Restarts") == "3"
    one, other = (tmp_path / "runs" / name for name in ("whole", "cut"))
    assert summary(one)["params_digest"] == summary(other)["params_digest"]
    assert logged(one) == logged(other)


@pytest.mark.matrix
@pytest.mark.slow
def test_a_training_of_one_process_that_is_stopped_goes_on(cluster, tmp_path: Path) -> None:
    job = train(cluster, tmp_path, "alone", "--nodes", "1")
    cluster.wait_for(lambda: lines(tmp_path, "alone") > 0, LONG)
    cluster.run("scancel", "--signal=TERM", job)
    cluster.wait_for_state(job, "PENDING", LONG)
    cluster.wait_for_state(job, "COMPLETED", LONG)
    assert summary(tmp_path / "runs" / "alone")["step"] == STEPS


@pytest.mark.matrix
@pytest.mark.slow
def test_a_study_as_an_array_stopped_on_the_way_has_the_runs_of_a_local_one(
    cluster: Cluster, tmp_path: Path
) -> None:
    varied = ["--vary", "optimizer.weight-decay=0.01,0.1", "--seeds", "2"]
    options = [*load(MLP).TINY, "--run.steps=600", "--run.log-every=10"]
    study = ["ablate", str(MLP), *varied, "--seeds-by", "sequential"]
    done = cluster.launch(tmp_path, *study, "--name", "array", "--slurm", "--", *options)
    assert done.returncode == 0, done.stderr
    job = done.stdout.split("Submitted batch job ")[1].split()[0]
    first, second = f"{job}_0", f"{job}_1"
    begun = "studies/array/runs/*=0.1-*/seed-0"
    cluster.wait_for(lambda: any(last_step(run) for run in tmp_path.glob(begun)), LONG)
    # The number of the last task is that of the array too; the first one is to be let be.
    cluster.run("scancel", "--signal=TERM", second)
    cluster.wait_for_state(second, "PENDING", LONG)
    for task in (first, second):
        cluster.wait_for_state(task, "COMPLETED", LONG)
    assert (cluster.field(first, "Restarts"), cluster.field(second, "Restarts")) == ("0", "1")
    done = cluster.launch(tmp_path, *study, "--name", "local", "--", *options)
    assert done.returncode == 0, done.stderr
    array, local = (tmp_path / "studies" / name / "runs" for name in ("array", "local"))
    runs = [path.relative_to(local).parent for path in sorted(local.glob("*/*/summary.json"))]
    assert len(runs) == 4
    for run in runs:
        assert summary(array / run)["params_digest"] == summary(local / run)["params_digest"]
        assert logged(array / run) == logged(local / run)


def test_what_sbatch_refuses_is_one_line_and_leaves_no_script(cluster: Cluster, home: Path) -> None:
    done = cluster.launch(home, "submit", "probe.py", *NODES, "--partition", "nowhere")
    assert done.returncode == 2
    assert "invalid partition specified: nowhere" in done.stderr
    assert done.stderr.count("\n") == 1
    assert not list((home / "slurm").iterdir())
