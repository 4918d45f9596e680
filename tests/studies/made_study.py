"""Studies that ``launch.py ablate`` makes, as a process, of an experiment that takes no time."""

import csv
import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any, NamedTuple

import linear

from bigmodel.run_directory.history import read_metrics
from bigmodel.studies.runs import Result, read_results
from bigmodel.studies.study import read_study

ROOT = Path(__file__).parent.parent.parent
ENVIRONMENT = {**os.environ, "PYTHONPATH": str(ROOT), "JAX_NUM_CPU_DEVICES": "1"}
RATES = ("--vary", "optimizer.learning-rate=0.05,0.2,1e38")
LENGTH = ("--run.steps=400", "--run.eval-every=40", "--run.log-every=20")
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


class Made(NamedTuple):
    """An undisturbed study: its script, folder, how it was made, and the seconds it took."""

    script: Path
    folder: Path
    words: tuple[str, ...]
    seconds: float

    def again(self, folder: Path, *words: str, **options: Any) -> subprocess.CompletedProcess[str]:
        """Makes the same study in another folder, or what is left of it; ``words`` are more."""
        cut = self.words.index("--")
        return ablate(
            self.script, *self.words[:cut], *words, *self.words[cut:], folder=folder, **options
        )


def make_undisturbed(folder: Path, seeds_by: str) -> Made:
    """Three cells of one program under two seeds; the runs of the last one diverge."""
    script = write_script(folder)
    words = (*RATES, "--seeds", "2", "--seeds-by", seeds_by, "--", *LENGTH)
    started = time.monotonic()
    ablate(script, *words)
    return Made(script, folder, words, time.monotonic() - started)


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
