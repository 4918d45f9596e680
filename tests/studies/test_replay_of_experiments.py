"""Runs of the experiments themselves, by one process and by two, replayed."""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

import launch
from bigmodel.script import load_script

ROOT = Path(__file__).parent.parent.parent
SCRIPTS = sorted(path for path in (ROOT / "experiments").glob("*.py") if path.stem != "__init__")
MLP = ROOT / "experiments" / "mlp.py"
SHORT = ("--run.steps=6", "--run.eval-every=3", "--run.log-every=2")
# Whole processes: several seconds for each script.
pytestmark = pytest.mark.matrix


@pytest.fixture
def replayed(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> Callable[..., list[str]]:
    """What a replay says of a short run by a script, which comes out equal."""

    def replayed(script: Path, *before: str, **environment: str) -> list[str]:
        run = tmp_path / "run"
        command = [sys.executable, *(before or [str(script)]), *load_script(script).TINY, *SHORT]
        here = {name: value for name, value in os.environ.items() if "DEVICES" not in name}
        command.append(f"--run.dir={run}")
        subprocess.run(command, env=here | environment, check=True, capture_output=True)
        assert launch.main(["replay", str(run)]) == 0
        lines = capfd.readouterr().out.splitlines()
        assert "  nothing differs, expected: equal bits" in lines
        assert lines[-1].startswith("equal: params_digest")
        return lines

    return replayed


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: path.stem)
def test_a_run_of_each_experiment_is_replayed_with_equal_bits(script: Path, replayed) -> None:
    replayed(script, JAX_NUM_CPU_DEVICES="1")


def test_a_run_of_two_processes_is_replayed_by_two(replayed) -> None:
    start = ["run", str(MLP), "--processes", "2", "--devices", "2", "--"]
    lines = replayed(MLP, str(ROOT / "launch.py"), *start)
    assert any("2 cpu devices" in line for line in lines)


def test_flags_of_a_run_are_those_of_its_replay(replayed) -> None:
    flags = "--xla_cpu_enable_fast_min_max=true --xla_force_host_platform_device_count=2"
    lines = replayed(
        MLP,
        XLA_FLAGS=flags,
        JAX_DEFAULT_MATMUL_PRECISION="highest",
        XLA_CLIENT_MEM_FRACTION="0.5",
    )
    assert any("2 cpu devices" in line for line in lines)
