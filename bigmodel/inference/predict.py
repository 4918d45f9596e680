"""Predicts with a trained run: a line of JSON for each input, in order.

    python launch.py predict runs/cnn-5e16c17c a.png b.png
    python launch.py predict runs/mlp-0b1c2d3e rows.csv --out answers.csv
    python launch.py predict runs/gpt-7f6e5d4c "The capital of" -- --sampling.temperature 0
    python launch.py predict all-MiniLM-L6-v2 "A man is eating." "Someone has a meal."

An input is what the run was trained on: a file, a folder of images, a text itself or a file with
a text on each line, a CSV file or lines of JSON; without one, lines of standard input. It needs
the run directory and the script, and no training data. Weights of others, in Hugging Face's layout
or a GGUF file, are asked in the same way: encoders give a vector for a text, classifiers classes,
and causal models go on with it. What comes after -- changes options that matter here, such as those
of sampling. On a terminal a single text is continued as it is drawn.
"""

from __future__ import annotations

import argparse
import contextlib
import itertools
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bigmodel.experiment import InputError
from bigmodel.output import tallied, warn
from bigmodel.protection.secrets import add_passphrase

if TYPE_CHECKING:
    from bigmodel.data.tables.csv_table import CsvFormat
    from bigmodel.inference.answering import Named
    from bigmodel.inference.value import Value
    from bigmodel.run_directory.trained import At

BATCH = 64
ASKED = "run directory, folder in Hugging Face's layout, or .gguf file"


def add_run(parser: argparse.ArgumentParser, what: str = "run directory") -> None:
    """Adds the arguments that name a trained run, or what else may be asked like one."""
    add = parser.add_argument
    add("run", metavar="RUN", help=what)
    add("--at", type=checkpoint, default="best", help="checkpoint: best (default), last, or a step")
    add("--script", metavar="FILE", help="the experiment's script, where it has moved")


def checkpoint(text: str) -> At:
    """The value of ``--at``."""
    if text in ("best", "last"):
        return text  # type: ignore[return-value]
    if not text.isdecimal():
        raise argparse.ArgumentTypeError(f"{text!r} is none of best, last and a step")
    return int(text)


def add_options(parser: argparse.ArgumentParser) -> None:
    """Adds the options of the command."""
    add_run(parser, ASKED)
    add = parser.add_argument
    add("inputs", nargs="*", metavar="INPUT", help="default: lines of standard input")
    add("--out", type=Path, help="file .jsonl or .csv, or a folder for images; default: print")
    add("--top", type=positive, metavar="N", help="the best N of all that is ranked; default: all")
    add("--batch-size", type=positive, default=BATCH, help=f"default: {BATCH}")
    add("--cut", action="store_true", help="read the beginning of texts that are too long")
    add("--count", type=positive, default=1, help="samples: how many of each input; default: 1")
    add("--seed", type=int, default=0, help="samples: seed of the first of each; default: 0")
    add_passphrase(parser)


def positive(text: str) -> int:
    """The value of an option that is a positive number."""
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is no number from 1 on")
    return int(text)


def seed(text: str) -> int:
    """The value of an option that is a seed, of the same numbers as those of runs."""
    if not text.isdecimal() or int(text) >= 2**31:
        raise argparse.ArgumentTypeError(f"{text!r} is no seed from 0 to {2**31 - 1}")
    return int(text)


def execute(parsed: argparse.Namespace, options: Sequence[str]) -> int:
    """Writes the answers.

    Raises:
        InputError: for a run or an input that cannot be used.
        StorageError: for files that cannot be read or written.
    """
    # Imported here, for other commands start without JAX.
    from bigmodel.inference.answering import answers
    from bigmodel.inference.loading import load
    from bigmodel.inference.outputs import first_of, opened
    from bigmodel.tracking.progress import counted

    where = {"script": parsed.script, "passphrase_file": parsed.passphrase_file}
    run = load(parsed.run, parsed.at, options=options, **where)
    kind = run.predictor.kind
    chosen = {"cut": parsed.cut, "count": parsed.count > 1, "seed": parsed.seed != 0}
    for option, given in chosen.items():
        if given and kind != ("text" if option == "cut" else "sample"):
            raise InputError(f"--{option} is for another kind of input than {run.predictor.inputs}")
    shown = parsed.out is None and sys.stdout.isatty()
    if run.predictor.stream and shown and len(parsed.inputs) == 1 and parsed.inputs != ["-"]:
        first, *others = itertools.islice(read(run, parsed.inputs, cut=parsed.cut), 2)
        if not others:
            return print_pieces(run, first)
    with contextlib.ExitStack() as stack:
        tally = stack.enter_context(tallied())
        write = stack.enter_context(opened(parsed.out))
        seeds = range(parsed.seed, parsed.seed + parsed.count)
        inputs = read(run, parsed.inputs, cut=parsed.cut, seeds=seeds)
        found = answers(run.predictor, run.apply, inputs, batch_size=parsed.batch_size)
        for answer in stack.enter_context(
            counted(found, "predicted", shown=parsed.out is not None)
        ):
            write(first_of(answer, parsed.top))
    for message, count in tally.items():
        warn(f"{message}: {count}")
    return 0


def print_pieces(run: Value, asked: Named) -> int:
    """Prints the answer to one input as it comes."""
    try:
        for piece in run.stream(asked.value):
            print(piece, end="", flush=True)
    except InputError as error:
        raise InputError(f"{asked.name}: {error}") from None
    print()
    return 0


def read(
    run: Value, arguments: Sequence[str], *, cut: bool = False, seeds: range = range(1)
) -> Iterator[Named]:
    """The inputs for a run that arguments name; samples are drawn under each seed."""
    from bigmodel.inference.inputs import read_inputs

    written, column = format_of(run)
    kind = run.predictor.kind
    for each in read_inputs(arguments, kind, written=written, column=column, cut=cut):
        if kind != "sample":
            yield each
            continue
        for seed in seeds:
            yield each._replace(value={"class": each.value, "seed": seed})


def format_of(run: Value) -> tuple[CsvFormat, str]:
    """How the tables of a run are written, and the column of its series."""
    from bigmodel.data.tables.csv_table import CsvFormat

    data: Any = getattr(run.config, "data", None)
    return data if isinstance(data, CsvFormat) else CsvFormat(), getattr(data, "column", "")
