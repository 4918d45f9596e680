"""Writes a model card: what is known of a trained run, and gaps for what only its owner knows.

    python launch.py card runs/cnn-5e16c17c

The card, MODEL_CARD.md in the run directory or --out, has the run's data, options and metrics with
intervals, what its evaluations and audits found, and limits that follow from these. What a run
cannot know, such as intended use and licence, is left to fill in. Where the data are there, the run
is evaluated again for the intervals.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

from bigmodel.errors import StorageError
from bigmodel.experiment import InputError
from bigmodel.files import write_atomically
from bigmodel.inference.predict import add_run, seed
from bigmodel.output import warn

CARD = "MODEL_CARD.md"


def add_options(parser: argparse.ArgumentParser) -> None:
    """Adds the options of the command."""
    add_run(parser)
    add = parser.add_argument
    add("--out", type=Path, help=f"file; default: {CARD} in the run directory")
    add("--seed", type=seed, default=0, help="of what is drawn for intervals; default: 0")
    add("--replace", action="store_true", help="write over a card that is there")


def execute(parsed: argparse.Namespace, options: Sequence[str]) -> int:
    """Writes the card.

    Raises:
        InputError: for a run that cannot be used, or a card that is there.
        StorageError: for files that cannot be read or written.
    """
    if options:
        raise InputError(f"card takes no options after --: {' '.join(options)}")
    path = parsed.out or Path(parsed.run) / CARD
    if path.is_dir():
        raise InputError(f"--out {path} is a folder; give a file")
    if path.exists() and not parsed.replace:
        raise InputError(f"{path} is there, perhaps filled in; give --replace or another --out")
    # Imported here, for other commands start without JAX.
    from bigmodel.analysis.cards.content import model_card
    from bigmodel.analysis.cards.metrics import metrics_with_intervals
    from bigmodel.analysis.predictions import split_of
    from bigmodel.inference.measuring import rebuilt
    from bigmodel.inference.trained import load_run
    from bigmodel.run_directory.manifest import examples_of

    run = load_run(parsed.run, parsed.at, script=parsed.script)
    data, split, metrics = None, "test", {}
    try:
        experiment = rebuilt(run)
        if experiment.data.alone != examples_of(run.recorded.manifest):
            raise InputError("the data are not those of the run, by their sha256")
        split = split_of(run, experiment, None)
        metrics = metrics_with_intervals(run, experiment, split, seed=parsed.seed)
        data = experiment.data
    except (InputError, StorageError, OSError) as error:
        warn(f"no intervals, for the run cannot be evaluated again: {error}")
    write_atomically(path, model_card(run, data, split, metrics).encode())
    print(f"written to {path}; fill in what only you know: grep -n 'TO FILL IN' {path}")
    return 0
