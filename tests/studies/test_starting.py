"""What only reads files starts without JAX."""

import os
import subprocess
import sys
from pathlib import Path

from written import write_run

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


def test_what_only_reads_files_or_helps_starts_without_heavy_packages(tmp_path: Path) -> None:
    for name in "ab":
        write_run(tmp_path / "runs" / name)
    code = f"""
import sys, launch
for command in {COMMANDS}:
    try:
        status = launch.main(command.split())
    except SystemExit as stop:
        status = stop.code
    heavy = [name for name in {HEAVY} if name in sys.modules]
    assert (status, heavy) == (0, []), (command, status, heavy)
"""
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    subprocess.run([sys.executable, "-c", code], cwd=tmp_path, env=environment, check=True)
