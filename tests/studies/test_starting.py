"""What only reads files starts without JAX."""

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent.parent
HEAVY = ("jax", "flax", "matplotlib", "scipy", "sklearn", "orbax", "tyro")


@pytest.mark.parametrize("command", [["--help"]], ids=" ".join)
def test_starts_without_heavy_packages(command: list[str]) -> None:
    code = "import sys, launch\ntry: launch.main(sys.argv[1:])\nexcept SystemExit: pass\n"
    code += f"sys.exit(', '.join(name for name in {HEAVY} if name in sys.modules))"
    done = subprocess.run(
        [sys.executable, "-c", code, *command],
        cwd=ROOT, check=False, capture_output=True, text=True,
    )  # fmt: skip
    assert done.stderr.strip() == ""
