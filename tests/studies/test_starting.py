"""What only reads files starts without JAX."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from written_run import write_run

ROOT = Path(__file__).parent.parent.parent
HEAVY = ("jax", "flax", "matplotlib", "scipy", "sklearn", "orbax", "tyro")
COMMANDS = [
    "--help",
    "replay --help",
    "report --help",
    "ablate --help",
    "work --help",
    "list",
    "compare runs/a runs/b",
]


@pytest.mark.parametrize("command", COMMANDS)
def test_starts_without_heavy_packages(command: str, tmp_path: Path) -> None:
    for name in "ab":
        write_run(tmp_path / "runs" / name)
    code = "import sys, launch\ntry: status = launch.main(sys.argv[1:])\n"
    code += "except SystemExit as stop: status = stop.code\n"
    code += f"print(status, [name for name in {HEAVY} if name in sys.modules])"
    done = subprocess.run(
        [sys.executable, "-c", code, *command.split()],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        check=True,
        capture_output=True,
        text=True,
    )
    assert done.stdout.splitlines()[-1] == "0 []"
