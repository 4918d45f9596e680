"""Evaluates a trained run on other data: its metrics and figures, in a folder of its own.

    python launch.py evaluate runs/cnn-5e16c17c -- --data.name folder --data.path OTHER
    python launch.py evaluate runs/mlp-0b1c2d3e -- --data.name csv --data.path other.csv

What comes after -- says which data, all of which is the test set then. It is encoded as the
training data was: classes and columns that the run never saw are named. Without options, or with
others than those of data, such as --data.batch-size, the run is evaluated on its own held-out data
again.
"""

from __future__ import annotations

import argparse
import math
from collections.abc import Sequence
from pathlib import Path

from bigmodel.experiment import InputError
from bigmodel.files import free_folder, write_json
from bigmodel.inference.predict import add_run
from bigmodel.output import tallied, warn

EVALUATIONS = "evaluations"
SAME = frozenset([
    "batch-size", "workers", "cache", "shift", "flip", "crop", "jitter", "hue", "randaugment",
    "magnitude", "mixup", "cutmix",
])  # fmt: skip
"""Options of data that say how its batches are made, not what is in it."""
DIVIDING = frozenset(["validation", "test", "split-seed", "folds", "fold", "held-out"])
"""Options of data that say what of it is held out."""


def add_options(parser: argparse.ArgumentParser) -> None:
    """Adds the options of the command."""
    add_run(parser)
    parser.add_argument("--out", type=Path, help="folder; default: one in the run's evaluations/")


def execute(parsed: argparse.Namespace, options: Sequence[str]) -> int:
    """Prints the metrics, and writes them with the figures.

    Raises:
        InputError: for a run or data that cannot be used, or a folder that has files.
        StorageError: for files that cannot be read or written.
    """
    # Imported here, for other commands start without JAX.
    from bigmodel.inference.measuring import evaluate
    from bigmodel.inference.trained import load_run
    from bigmodel.run_directory.drawn import write_figure

    other = says_other_data(options)
    run = load_run(parsed.run, parsed.at, script=parsed.script, options=options)
    folder = free_folder(parsed.out, run.path / EVALUATIONS)
    with tallied() as tally:
        found = evaluate(run, other=other)
    for message, count in tally.items():
        warn(f"{message}: {count}")
    for name, figure in found.shown.items():
        write_figure(folder / "figures", name, figure, told=name)
    metrics = {k: v if math.isfinite(v) else None for k, v in found.values.items()}
    about = {"run": str(run.path), "step": run.step, "options": list(options)}
    write_json(folder / "metrics.json", {**about, "metrics": metrics})
    print(f"{folder}: step {run.step} of {run.path}")
    for name, value in found.values.items():
        print(f"  {name} {value:.4f}")
    return 0


def says_other_data(options: Sequence[str]) -> bool:
    """Whether options of a run say which data there is.

    Raises:
        InputError: they only divide the run's own data, and it has trained on a part of that.
    """
    words = [word.partition("=")[0].replace("_", "-") for word in options]
    data = [
        word.removeprefix("--data.").removeprefix("no-")
        for word in words
        if word.startswith("--data.")
    ]
    if any(name not in SAME | DIVIDING for name in data):
        return True
    if dividing := [name for name in data if name in DIVIDING]:
        raise InputError(
            f"--data.{dividing[0]} divides the run's own data, a part of which it was trained on; "
            "leave it out, or say other data by --data.path"
        )
    return False
