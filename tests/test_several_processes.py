"""Real processes on this machine do what one process does."""

import json
import os
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from recorded import lines, summary
from test_contract import KINDS, ROOT, load

SCRIPTS = {kind: ROOT / "experiments" / f"{kind}.py" for kind in KINDS}

pytestmark = pytest.mark.slow


def launch(script: Path, directory: Path, count: int, *options: str) -> subprocess.CompletedProcess:
    tiny = getattr(load(script), "TINY", ())
    command = [sys.executable, str(ROOT / "launch.py"), "run", str(script)]
    return subprocess.run(
        [*command, f"--processes={count}", "--", *tiny, f"--run.dir={directory}", *options],
        env={**os.environ, "JAX_NUM_CPU_DEVICES": "1"},
        capture_output=True,
        text=True,
        timeout=500,
        check=False,
    )


def losses(directory: Path) -> list[float]:
    return [*lines(directory, "train/loss").values()]


def results(directory: Path) -> dict[str, Any]:
    return {n: value for n, value in summary(directory).items() if n.startswith("test/")}


@pytest.mark.matrix
@pytest.mark.parametrize("count", [2, 4])
@pytest.mark.parametrize("kind", KINDS)
def test_several_processes_have_the_losses_of_one(kind: str, count: int, tmp_path: Path) -> None:
    options = ("--run.steps=20", "--run.log-every=1", "--run.eval-every=10")
    for directory, number in (("one", 1), ("many", count)):
        done = launch(SCRIPTS[kind], tmp_path / directory, number, *options)
        assert done.returncode == 0, done.stdout + done.stderr
    assert losses(tmp_path / "many") == pytest.approx(losses(tmp_path / "one"), rel=1e-5)
    assert len(losses(tmp_path / "one")) == 20
    assert results(tmp_path / "many") == pytest.approx(results(tmp_path / "one"), rel=1e-3)
    logs = sorted(path.name for path in (tmp_path / "many" / "logs").iterdir())
    assert logs == [f"rank-{rank}.log" for rank in range(1, count)]


@pytest.mark.parametrize("count", [2, pytest.param(4, marks=pytest.mark.matrix)])
@pytest.mark.parametrize("packing", ["across", pytest.param("document", marks=pytest.mark.matrix)])
def test_several_processes_prepare_a_text_once_and_have_its_losses(
    packing: str, count: int, tmp_path: Path
) -> None:
    rows = ({"text": f"{n} is larger than {n - 1}. " * (1 + n % 9)} for n in range(400))
    (tmp_path / "texts.jsonl").write_text("".join(f"{json.dumps(row)}\n" for row in rows))
    options = ("--run.steps=6", "--run.log-every=1", "--run.eval-every=3", "--data.validation=0.2",
               f"--data.path={tmp_path}/texts.jsonl", f"--data.packing={packing}")  # fmt: skip
    said = ""
    for name, number in (("one", 1), ("many", count)):
        # A cache of its own, so that the processes agree on who makes it.
        cache = f"--data.cache={tmp_path}/cache-{name}"
        done = launch(SCRIPTS["gpt"], tmp_path / name, number, *options, cache)
        assert done.returncode == 0, done.stdout + done.stderr
        said = done.stdout + done.stderr
    logs = [path.read_text() for path in (tmp_path / "many/logs").iterdir()]
    assert sum(text.count("prepared ") for text in (said, *logs)) == 1
    assert len(losses(tmp_path / "one")) == 6
    assert losses(tmp_path / "many") == pytest.approx(losses(tmp_path / "one"), rel=1e-5)
    assert results(tmp_path / "many") == pytest.approx(results(tmp_path / "one"), rel=1e-5)


def test_two_processes_save_what_one_goes_on_with_and_have_its_losses(tmp_path: Path) -> None:
    script = SCRIPTS["gpt"]
    first = ("--run.steps=6", "--run.eval-every=3", "--run.log-every=1")
    done = launch(script, tmp_path / "run", 2, *first, "--mesh.fsdp=2")
    assert done.returncode == 0, done.stdout + done.stderr
    for name in ("summary.json", "checkpoints/6"):
        path = tmp_path / "run" / name
        path.unlink() if path.is_file() else path.rename(tmp_path / "away")
    before = losses(tmp_path / "run")
    done = launch(script, tmp_path / "run", 1, *first)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "on from step 3" in done.stdout
    names = [path.name for path in (tmp_path / "run/checkpoints/3").iterdir()]
    assert "ocdbt.process_1" in names
    assert [name for name in names if "SUMS" in name] == ["SHA256SUMS"]
    assert losses(tmp_path / "run") == pytest.approx(before, rel=1e-5)


def test_a_mesh_that_leaves_a_process_without_work_is_one_line(tmp_path: Path) -> None:
    done = launch(SCRIPTS["cnn"], tmp_path / "run", 2, "--mesh.data=1")
    assert done.returncode == 2
    assert "leaves rank 1 without one" in done.stderr
    assert done.stderr.count("\n") == 1
    assert not (tmp_path / "run").exists()


def test_processes_with_other_configs_are_refused(tmp_path: Path) -> None:
    script = SCRIPTS["cnn"]
    ranks = []
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{probe.getsockname()[1]}"
    place = {"BIGMODEL_COORDINATOR": address, "BIGMODEL_PROCESSES": "2"}
    options = [*load(script).TINY, "--run.dir=x"]
    for rank in range(2):
        command = [sys.executable, str(script), *options, f"--seed={rank}"]
        environment = {**os.environ, **place, "BIGMODEL_PROCESS": str(rank)}
        ranks.append(
            subprocess.Popen(
                command, env=environment, stderr=subprocess.PIPE, text=True, cwd=tmp_path
            )
        )
    errors = [rank.communicate(timeout=120)[1] for rank in ranks]
    assert [rank.returncode for rank in ranks] == [2, 1]
    assert "config.seed is 1 there and 0 here" in errors[0]
    assert all(error.count("\n") == 1 for error in errors)
    assert list(tmp_path.iterdir()) == []
