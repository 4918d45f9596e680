"""A run that is killed or stopped at any moment, as a process, ends with the same bits."""

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from rare import rare
from test_contract import KINDS, SCRIPTS, load, logged, summary

STEPS = 160
SEED = random.SystemRandom().randrange(10**6)

pytestmark = pytest.mark.slow


def marks(name: str) -> list[pytest.MarkDecorator]:
    group = pytest.mark.xdist_group(f"interruption-{name}")
    return [group] if name == "cnn" else [group, pytest.mark.matrix]


@pytest.fixture(
    scope="module",
    params=[pytest.param(s, id=s.stem, marks=marks(s.stem)) for s in SCRIPTS if s.stem in KINDS],
)
def script(request: pytest.FixtureRequest) -> Path:
    return request.param


def begin(script: Path, directory: Path) -> subprocess.Popen:
    options = [*getattr(load(script), "TINY", ()), f"--run.dir={directory}"]
    options += [f"--run.steps={STEPS}", "--run.eval-every=40", "--run.log-every=5"]
    return subprocess.Popen(
        [sys.executable, str(script), *options],
        env={**os.environ, "JAX_NUM_CPU_DEVICES": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def finish(script: Path, directory: Path) -> float:
    """Lets a run end; the seconds that it took."""
    started = time.monotonic()
    process = begin(script, directory)
    output, _ = process.communicate(timeout=300)
    assert process.returncode == 0, output
    return time.monotonic() - started


@pytest.fixture(scope="module")
def whole(script: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The directory of the script's run in peace."""
    directory = tmp_path_factory.mktemp(script.stem) / "whole"
    finish(script, directory)
    return directory


@pytest.mark.parametrize("kills", [2, pytest.param(6, marks=pytest.mark.matrix)])
def test_killed_at_random_moments(script: Path, whole: Path, kills: int, tmp_path: Path) -> None:
    cut = tmp_path / "cut"
    seconds = finish(script, tmp_path / "again")
    assert summary(whole)["params_digest"] == summary(tmp_path / "again")["params_digest"]
    moments = random.Random(SEED)
    for _ in range(kills):
        process = begin(script, cut)
        time.sleep(moments.uniform(0.3, 1.0) * seconds)
        process.kill()
        process.communicate()
    finish(script, cut)
    assert summary(cut)["params_digest"] == summary(whole)["params_digest"], f"seed {SEED}"
    assert logged(cut) == logged(whole), f"seed {SEED}"


@pytest.mark.parametrize(
    ("number", "status"),
    [(signal.SIGTERM, 0), pytest.param(signal.SIGINT, 130, marks=pytest.mark.matrix)],
)
def test_stopped_by_a_signal_saves_and_goes_on(
    script: Path, whole: Path, number: signal.Signals, status: int, tmp_path: Path
) -> None:
    cut = tmp_path / "cut"
    process = begin(script, cut)
    metrics = cut / "metrics.jsonl"
    while process.poll() is None and (not metrics.exists() or not metrics.stat().st_size):
        time.sleep(0.02)
    time.sleep(random.Random(SEED).uniform(0.0, 0.5))
    process.send_signal(number)
    output, _ = process.communicate(timeout=60)
    assert process.returncode == status, output
    if not (cut / "summary.json").exists():
        assert f"stopped by {number.name}" in output
        saved = max(int(path.name) for path in (cut / "checkpoints").iterdir())
        assert f"at step {saved}, saved" in output
    finish(script, cut)
    assert summary(cut)["params_digest"] == summary(whole)["params_digest"]
    assert logged(cut) == logged(whole)


@pytest.mark.parametrize("stem", ["mlp", rare("gpt")])
def test_second_start_compiles_nothing_anew(stem: str, tmp_path: Path) -> None:
    script = next(path for path in SCRIPTS if path.stem == stem)
    environment = {**os.environ, "JAX_NUM_CPU_DEVICES": "1"}
    environment["JAX_COMPILATION_CACHE_DIR"] = str(tmp_path / "cache")
    compiled = []
    for name in ("cold", "warm"):
        options = [*load(script).TINY, "--run.steps=1", f"--run.dir={tmp_path / name}"]
        command = [sys.executable, str(script), *options]
        subprocess.run(command, env=environment, check=True, capture_output=True)
        compiled.append({path.name for path in (tmp_path / "cache").glob("*-cache")})
    assert compiled[0]
    assert compiled[1] == compiled[0]
