"""What the README says is so."""

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text()


def block(name: str) -> str:
    found = re.search(rf"<!-- {name} -->\n```\w+\n(.*?)```", README, re.DOTALL)
    assert found is not None
    return found.group(1)


def test_the_experiment_in_the_readme_runs_and_learns(tmp_path: Path) -> None:
    script = tmp_path / "mine.py"
    script.write_text(block("mine"))
    command = [sys.executable, str(script), "--run.steps=200", "--run.dir=mine"]
    done = subprocess.run(command, check=False, cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    summary = json.loads((tmp_path / "mine" / "summary.json").read_text())
    assert summary["test/accuracy"] > 0.9


def test_the_notebook_in_the_readme_trains() -> None:
    names: dict[str, Any] = {}
    exec(block("notebook"), names)
    assert names["accuracy"] > 0.9


@pytest.mark.slow
def test_the_notebook_session_of_the_page_on_trained_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    page = (ROOT / "docs" / "trained.md").read_text()
    monkeypatch.chdir(tmp_path)
    (tmp_path / "experiments").symlink_to(ROOT / "experiments")
    (commands,) = re.findall(r"<!-- runs -->\n```sh\n(.*?)```", page, re.DOTALL)
    for command in commands.splitlines():
        done = subprocess.run(
            [sys.executable, *command.split()[1:]], check=False, capture_output=True, text=True
        )
        assert done.returncode == 0, done.stderr
    cells = re.findall(r"<!-- session -->\n```python\n(.*?)```", page, re.DOTALL)
    names: dict[str, Any] = {}
    for cell in cells:
        exec(cell, names)
    assert len(cells) == 5
    assert names["hardest"].shape == (5,)
    assert np.mean(names["right"]) > 0.8
    assert all((tmp_path / name).stat().st_size for name in ("hardest.png", "loss.png"))


def test_every_experiment_is_in_the_table_and_every_path_exists() -> None:
    for script in (ROOT / "experiments").glob("*.py"):
        assert f"experiments/{script.name}" in README
    for path in re.findall(r"(?:experiments|benchmarks|docs|bigmodel|tests)/[\w/]+\.\w+", README):
        assert (ROOT / path).exists() or path == "experiments/mine.py", path


def test_a_run_is_followed_in_twenty_files_and_2500_lines() -> None:
    page = (ROOT / "docs" / "a-run.md").read_text()
    listed = re.findall(r"^    (\S+\.py)$", page, re.MULTILINE)
    assert len(listed) <= 20
    assert sum(len((ROOT / path).read_text().splitlines()) for path in listed) <= 2500
    called = set(re.findall(r"`((?:bigmodel|experiments)/[\w/]+\.py)`", page))
    assert called - {"bigmodel/runtime/side_by_side.py"} <= {*listed}
