"""Processes on this machine: each makes the rows that its devices hold, and no others."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from recorded import lines
from rows_of_ranks import MESHES

ROOT = Path(__file__).parent.parent.parent
WHOLE = ["0 16"]
HALVES, QUARTERS = (["0 8"], ["8 16"]), (["0 4", "8 12"], ["4 8", "12 16"])
EXPECTED = (HALVES, QUARTERS, QUARTERS, (WHOLE, WHOLE), (WHOLE, WHOLE))
"""The rows of the two ranks, a mesh each."""


@pytest.mark.slow
def test_each_process_makes_its_rows_alone_and_together_they_are_the_batch(tmp_path: Path) -> None:
    for name, count in (("one", 1), ("many", 2)):
        (tmp_path / name).mkdir()
        done = subprocess.run(
            [sys.executable, ROOT / "launch.py", "run", ROOT / "tests/processes/rows_of_ranks.py",
             f"--processes={count}", "--", "--run.dir=run"],
            env={**os.environ, "JAX_NUM_CPU_DEVICES": str(4 // count),
                 "PYTHONPATH": f"{ROOT}:{ROOT / 'tests'}"},
            cwd=tmp_path / name, capture_output=True, text=True, timeout=300, check=False,
        )  # fmt: skip
        assert done.returncode == 0, done.stdout + done.stderr
    for rank, own in enumerate(("0 8", "8 16")):
        made = {line.partition(" ")[::2] for line in noted(tmp_path, "run", rank)}
        assert made == {(str(step), own) for step in range(6)}
    assert len(EXPECTED) == len(MESHES)
    for number, of_ranks in enumerate(EXPECTED):
        for rank, own in enumerate(of_ranks):
            seen = [line.partition(" ")[2] for line in noted(tmp_path, f"mesh-{number}", rank)]
            assert seen == own * 3
    whole = lines(tmp_path / "one/run", "train/loss")
    assert lines(tmp_path / "many/run", "train/loss") == pytest.approx(whole, rel=1e-5)


def noted(folder: Path, name: str, rank: int) -> list[str]:
    return (folder / "many" / f"{name}-{rank}").read_text().splitlines()
