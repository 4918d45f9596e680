"""A run takes its first step before it needs much."""

import importlib
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parent.parent
HEAVY = {
    "matplotlib", "orbax", "pandas", "scipy", "sklearn", "tensorboard", "tensorflow",
    "tensorstore", "torch", "transformers",
}  # fmt: skip
"""What takes long to import, and what a run needs after its first step or never."""
UNTIL_THE_FIRST_STEP = """
import os, runpy, sys
from bigmodel.runtime.recorder import RunRecorder

def trained(*_):
    print("imported:", *sorted({name.partition(".")[0] for name in sys.modules}), flush=True)
    os._exit(0)

RunRecorder.trained = trained
sys.argv = sys.argv[1:]
runpy.run_path(sys.argv[0], run_name="__main__")
"""


def test_a_run_has_imported_nothing_heavy_before_its_first_step(tmp_path: Path) -> None:
    sys.path.insert(0, str(ROOT / "experiments"))
    tiny = importlib.import_module("cnn").TINY
    command = [sys.executable, "-c", UNTIL_THE_FIRST_STEP, str(ROOT / "experiments" / "cnn.py")]
    done = subprocess.run(
        [*command, *tiny], cwd=tmp_path, capture_output=True, encoding="utf-8", check=True
    )
    imported = set(done.stdout.partition("imported:")[2].split())
    assert "jax" in imported
    assert sorted(imported & HEAVY) == []
