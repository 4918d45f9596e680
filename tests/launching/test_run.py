import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent.parent
SCRIPT = "import jax, sys; print(jax.device_count(), sys.argv[1:]); sys.exit(7)"


def launch(*arguments: str) -> subprocess.CompletedProcess:
    command = [sys.executable, str(ROOT / "launch.py"), *arguments]
    return subprocess.run(command, check=False, capture_output=True, text=True)


def test_run_gives_devices_options_and_exit_status(tmp_path: Path) -> None:
    (tmp_path / "one.py").write_text(SCRIPT)
    done = launch("run", str(tmp_path / "one.py"), "--devices", "4", "--", "--seed", "3")
    assert done.stdout == "4 ['--seed', '3']\n"
    assert done.returncode == 7


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["run", "nowhere.py"], "there is no script nowhere.py"),
        (["run", str(ROOT / "launch.py"), "--devices", "0"], "--devices is 0"),
        (["run", str(ROOT / "launch.py"), "--devices", "many"], "--devices"),
        (["run", str(ROOT / "launch.py"), "--seed", "3"], "come after --"),
        (["rnu", "x.py"], "'rnu'"),
        ([], "COMMAND"),
    ],
)
def test_a_wrong_command_is_one_line_and_status_2(arguments: list[str], message: str) -> None:
    done = launch(*arguments)
    assert done.returncode == 2
    assert message in done.stderr
    assert done.stderr.count("\n") == 1
