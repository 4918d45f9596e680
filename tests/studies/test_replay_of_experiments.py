"""Runs of the experiments themselves, by one process and by two, replayed."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

import launch
from bigmodel.script import load_script

ROOT = Path(__file__).parent.parent.parent
SCRIPTS = sorted(path for path in (ROOT / "experiments").glob("*.py") if path.stem != "__init__")
SHORT = ("--run.steps=6", "--run.eval-every=3", "--run.log-every=2")
# Whole processes: several seconds for each script.
pytestmark = pytest.mark.matrix


def train(script: Path, run: Path, *before: str, **environment: str) -> None:
    """A short run by the script, as a user would start it."""
    command = [sys.executable, *before, *load_script(script).TINY, *SHORT, f"--run.dir={run}"]
    subprocess.run(command, env={**os.environ, **environment}, check=True, capture_output=True)


def replayed(run: Path, capfd: pytest.CaptureFixture[str]) -> list[str]:
    """What a replay says that comes out equal."""
    assert launch.main(["replay", str(run)]) == 0
    lines = capfd.readouterr().out.splitlines()
    assert "  nothing differs, expected: equal bits" in lines
    assert lines[-1].startswith("equal: params_digest")
    return lines


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: path.stem)
def test_a_run_of_each_experiment_is_replayed_with_equal_bits(
    script: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    train(script, tmp_path / "run", str(script), JAX_NUM_CPU_DEVICES="1")
    replayed(tmp_path / "run", capfd)


def test_a_run_of_two_processes_is_replayed_by_two(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    script = ROOT / "experiments" / "mlp.py"
    start = ["run", str(script), "--processes", "2", "--devices", "2", "--"]
    train(script, tmp_path / "run", str(ROOT / "launch.py"), *start)
    assert any("2 cpu devices" in line for line in replayed(tmp_path / "run", capfd))


def test_flags_of_a_run_are_those_of_its_replay(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    environment = {name: value for name, value in os.environ.items() if "DEVICES" not in name}
    environment["XLA_FLAGS"] = (
        "--xla_cpu_enable_fast_min_max=true --xla_force_host_platform_device_count=2"
    )
    environment["JAX_DEFAULT_MATMUL_PRECISION"] = "highest"
    script = ROOT / "experiments" / "mlp.py"
    command = [sys.executable, str(script), *load_script(script).TINY, *SHORT]
    command.append(f"--run.dir={tmp_path / 'run'}")
    subprocess.run(command, env=environment, check=True, capture_output=True)
    assert any("2 cpu devices" in line for line in replayed(tmp_path / "run", capfd))
