"""Audits a trained run: whom it serves less, or what it tells about its training examples.

    python launch.py audit runs/mlp-0b1c2d3e --by sex
    python launch.py audit runs/mlp-0b1c2d3e --by sex --by age --edges 18 65 --positive yes
    python launch.py audit runs/cnn-5e16c17c --by subfolder
    python launch.py audit runs/bert_classify-1a2b3c4d --groups groups.csv
    python launch.py audit runs/cnn-5e16c17c --membership --reference runs/cnn-7f6e5d4c

With --by each metric is measured in each group of held-out examples, and groups are compared. A
column may be any of the table, also one that the run does not read; images in folders have the
columns path and subfolder, texts and sequences in files the column line. --groups is a table whose
first column is one of these and whose others say more of each example. With --membership it is
tried to tell training examples from held-out ones by their losses. What comes after -- says which
other data, all of which is the test set then.

Writes audit.html, audit.json and figures/ to a folder in the run's audits/, or to --out.
"""

from __future__ import annotations

import argparse
import math
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bigmodel.experiment import InputError
from bigmodel.files import free_folder, write_atomically, write_json
from bigmodel.inference.predict import add_run, positive, seed

if TYPE_CHECKING:
    from bigmodel.experiment import Experiment
    from bigmodel.inference.trained import Trained
    from bigmodel.pages.page import Drawing

AUDITS = "audits"
SMALLEST = 20
BINS = 4
EXAMPLES = 5000
BY, ATTACK = "--by", "--membership"


def add_options(parser: argparse.ArgumentParser) -> None:
    """Adds the options of the command."""
    add_run(parser)
    add = parser.add_argument
    text = "column that says which group an example is in; several: groups of their combinations"
    add(BY, action="append", default=[], metavar="COLUMN", help=text)
    add("--groups", type=Path, metavar="FILE", help="table with such columns, where data have none")
    add("--positive", metavar="CLASS", help="class whose rates are compared; of two, the second")
    text = f"groups of a column of numbers; default: {BINS}"
    add("--bins", type=positive, default=BINS, help=text)
    add("--edges", type=edge, nargs="+", default=(), help="where numbers are divided instead")
    text = f"examples that a value must be of to be compared; default: {SMALLEST}"
    add("--smallest", type=positive, default=SMALLEST, help=text)
    add(ATTACK, action="store_true", help="attack the run by the losses of examples")
    text = "run of the same kind whose --data.split-seed is another; may be given again"
    add("--reference", action="append", default=[], metavar="RUN", help=text)
    text = f"of each kind that are attacked at most; default: {EXAMPLES}"
    add("--examples", type=positive, default=EXAMPLES, help=text)
    add("--split", help="held-out examples; default: test")
    add("--seed", type=seed, default=0, help="of what is drawn for intervals; default: 0")
    add("--out", type=Path, help="folder; default: one in the run's audits/")


def edge(text: str) -> float:
    """The value of an option that is a number."""
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if math.isnan(value):
        raise argparse.ArgumentTypeError(f"{text!r} is no number")
    return value


def execute(parsed: argparse.Namespace, options: Sequence[str]) -> int:
    """Prints the audit, and writes it as a page, as JSON and as figures.

    Raises:
        InputError: for a run, a column or data that cannot be used, or a folder that has files.
        StorageError: for files that cannot be read or written.
    """
    grouped = bool(parsed.by or parsed.groups)
    if grouped == parsed.membership:
        raise InputError("give either --by COLUMN or --groups FILE, or --membership")
    for option, given, fits in (
        ("--reference", bool(parsed.reference), parsed.membership),
        ("--examples", parsed.examples != EXAMPLES, parsed.membership),
        ("--positive", parsed.positive is not None, grouped),
        ("--bins", parsed.bins != BINS, grouped),
        ("--edges", bool(parsed.edges), grouped),
        ("--smallest", parsed.smallest != SMALLEST, grouped),
    ):
        if given and not fits:
            raise InputError(f"{option} is for {ATTACK if grouped else f'{BY} and --groups'}")
    if parsed.membership and options:
        raise InputError("--membership needs the run's own data; leave out what comes after --")
    # Imported here, for other commands start without JAX.
    from bigmodel.analysis.predictions import split_of
    from bigmodel.inference.measuring import rebuilt
    from bigmodel.inference.trained import load_run

    run = load_run(parsed.run, parsed.at, script=parsed.script, options=options)
    folder = free_folder(parsed.out, run.path / AUDITS)
    experiment = rebuilt(run, other=bool(options))
    split = split_of(run, experiment, parsed.split)
    make = _compare if grouped else _attack
    html, values, drawings = make(run, experiment, split, parsed, options)
    write_json(folder / "audit.json", values)
    write_atomically(folder / "audit.html", html.encode())
    for drawing in drawings:
        write_atomically(folder / "figures" / f"{drawing.name}.png", drawing.png)
    print(f"written to {folder}: audit.html, audit.json, {len(drawings)} in figures/")
    return 0


Made = tuple[str, dict[str, Any], list["Drawing"]]


def _compare(
    run: Trained,
    experiment: Experiment,
    split: str,
    parsed: argparse.Namespace,
    options: Sequence[str],
) -> Made:
    """Compares groups."""
    from bigmodel.analysis.fairness.auditing import audit_groups
    from bigmodel.analysis.fairness.drawings import draw_calibration, draw_metrics
    from bigmodel.analysis.fairness.grouping import Grouping, make_groups
    from bigmodel.analysis.fairness.page import fairness_page, show_fairness
    from bigmodel.analysis.fairness.report import plain
    from bigmodel.analysis.predictions import predictions_of

    if experiment.data.column is None:
        raise InputError(
            f"the data of {run.path} say no more of an example than the run reads; groups are of "
            "tables, of images in folders, and of texts and sequences in files"
        )
    if not parsed.by and parsed.groups is None:
        raise InputError("give --by COLUMN")
    grouping = Grouping(tuple(parsed.by), parsed.groups, parsed.bins, tuple(parsed.edges))
    groups = make_groups(grouping, experiment.data.column, split)
    predictions = predictions_of(run, experiment, split)
    report = audit_groups(
        run,
        predictions,
        groups,
        split=split,
        positive=parsed.positive,
        smallest=parsed.smallest,
        seed=parsed.seed,
        options=options,
    )
    show_fairness(report)
    drawings = [draw_metrics(report), draw_calibration(report, predictions)]
    drawn = [one for one in drawings if one is not None]
    return fairness_page(report, drawn), plain(report), drawn


def _attack(
    run: Trained,
    experiment: Experiment,
    split: str,
    parsed: argparse.Namespace,
    options: Sequence[str],
) -> Made:
    """Attacks the run."""
    del options
    from bigmodel.analysis.membership.attacking import attack_run
    from bigmodel.analysis.membership.report import membership_page, plain, show_membership

    report, drawing = attack_run(
        run,
        experiment,
        split,
        references=parsed.reference,
        examples=parsed.examples,
        seed=parsed.seed,
    )
    show_membership(report)
    return membership_page(report, [drawing]), plain(report), [drawing]
