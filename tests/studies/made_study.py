"""Studies that ``launch.py ablate`` makes, as a process, of an experiment that takes no time."""

import csv
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import linear

from bigmodel.runtime.history import read_metrics
from bigmodel.studies.results import Result, read_results
from bigmodel.studies.study import read_study

ROOT = Path(__file__).parent.parent.parent
ENVIRONMENT = {**os.environ, "PYTHONPATH": str(ROOT), "JAX_NUM_CPU_DEVICES": "1"}
SCRIPT = f'''
"""Softmax regression, and all that may happen to it."""
import os, resource, signal, sys
from dataclasses import dataclass, replace
import jax
sys.path.insert(0, {str(Path(linear.__file__).parent)!r})
import linear
from bigmodel.runtime import Run, Settings, main
from bigmodel.training.optimizers import Optimizer

if "FILE_LIMIT" in os.environ:
    limit = int(os.environ["FILE_LIMIT"])
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))

@dataclass(frozen=True)
class Config(Settings):
    """What happens, and the rest."""
    what: str = "nothing"
    optimizer: Optimizer = Optimizer("sgd", learning_rate=0.05, weight_decay=0.01)
    run: Run = Run(steps=12, eval_every=4, log_every=2)

def build(config):
    if config.what == "killed" and not os.path.exists("spared"):
        os.kill(os.getpid(), signal.SIGKILL)
    if config.what == "broken":
        raise ValueError("no such\\nthing")
    if config.what == "large":
        raise jax.errors.JaxRuntimeError("RESOURCE_EXHAUSTED: Out of memory allocating 7 bytes")
    rate = 1e38 if config.what == "diverging" else config.optimizer.learning_rate
    return linear.experiment(replace(config.optimizer, learning_rate=rate))

if __name__ == "__main__":
    main(build, Config())
'''


def write_script(folder: Path) -> Path:
    """The experiment's script in a folder."""
    path = folder / "small.py"
    path.write_text(SCRIPT)
    return path


def command(script: Path, *words: str) -> list[str]:
    """The command that makes the study ``studies/s`` of a script."""
    launch = [sys.executable, str(ROOT / "launch.py"), "ablate", str(script)]
    return [*launch, "--name", "s", *words]


def ablate(
    script: Path, *words: str, folder: Path | None = None, status: int = 0, **environment: str
) -> subprocess.CompletedProcess[str]:
    """Makes a study in ``studies/s`` of a folder, by default that of the script."""
    done = subprocess.run(
        command(script, *words),
        cwd=folder or script.parent,
        env={**ENVIRONMENT, **environment},
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )
    assert done.returncode == status, done.stdout + done.stderr
    return done


def read(path: Path, name: str) -> dict[str, Any]:
    """A JSON file of a run."""
    return json.loads((path / name).read_text())


def made(folder: Path) -> list[Result]:
    """The runs of the study in a folder, cell by cell."""
    path = folder / "studies" / "s"
    return list(read_results(path, read_study(path)))


def logged(directory: Path) -> list[dict[str, Any]]:
    """The history of a run without what is about time."""
    lines = read_metrics(directory / "metrics.jsonl")
    return [{n: v for n, v in line.items() if "/" in n or n == "step"} for line in lines]


def results(folder: Path) -> list[dict[str, str]]:
    """The table ``results.csv`` of the study in a folder without what is about time."""
    with (folder / "studies" / "s" / "results.csv").open() as file:
        return [
            {name: value for name, value in row.items() if "second" not in name}
            for row in csv.DictReader(file)
        ]
