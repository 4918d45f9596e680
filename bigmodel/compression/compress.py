"""Makes a run of fewer bits, or of fewer channels, from a trained one.

    python launch.py compress runs/cnn-5e16c17c --to int8 --out runs/cnn-int8
    python launch.py compress runs/cnn-5e16c17c --to int8 --activations --out runs/cnn-int8
    python launch.py compress runs/gpt-7f6e5d4c --to int4 --keep-float embedding --out runs/gpt-int4
    python launch.py compress runs/cnn-5e16c17c --to channels --keep 0.5 --out runs/cnn-half

int8 and int4 round kernels and embeddings, each channel by a scale of its own; with --activations
layers also read inputs of eight bits, whose ranges are those of training batches. channels takes
away the channels and heads that weigh least; the command that trains the smaller network further is
printed. The new folder is a run like any other: it predicts, is evaluated, exported and served, and
its manifest says from what it was made. A table compares both.
"""

from __future__ import annotations

import argparse
import re
from collections.abc import Sequence
from pathlib import Path

from bigmodel.experiment import InputError
from bigmodel.inference.predict import add_run, positive

TARGETS = ("int8", "int4", "channels")


def add_options(parser: argparse.ArgumentParser) -> None:
    """Adds the options of the command."""
    add_run(parser)
    add = parser.add_argument
    add("--to", choices=TARGETS, required=True, help="what to make of it")
    add("--out", type=Path, required=True, metavar="RUN2", help="new run directory")
    help_text = "int8, int4: layers read inputs of eight bits too"
    add("--activations", action="store_true", help=help_text)
    help_text = "training batches that decide the ranges of the inputs; default: 8"
    add("--batches", type=positive, default=8, help=help_text)
    help_text = "int8, int4: path patterns of the parameters that stay float32, such as head"
    add("--keep-float", nargs="+", type=pattern, default=[], metavar="PATTERN", help=help_text)
    help_text = "channels: share of the channels and heads that are kept; default: 0.5"
    add("--keep", type=share, help=help_text)


def share(text: str) -> float:
    """The value of an option that is a share above 0 and below 1."""
    try:
        value = float(text)
    except ValueError:
        value = 0.0
    if not 0 < value < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is no share above 0 and below 1")
    return value


def pattern(text: str) -> str:
    """The value of an option that is a regular expression."""
    try:
        re.compile(text)
    except (re.error, OverflowError) as error:
        raise argparse.ArgumentTypeError(f"{text!r} is no regex: {error}") from None
    return text


def execute(parsed: argparse.Namespace, options: Sequence[str]) -> int:
    """Writes the run and prints the table.

    Raises:
        InputError: for a run that cannot be compressed, or is compressed.
        StorageError: for files that cannot be read or written.
    """
    if options:
        raise InputError(f"{' '.join(options)}: a run is compressed with its own options")
    rounds = parsed.to != "channels"
    for option, given, fits in (
        ("--activations", parsed.activations, rounds),
        ("--keep-float", parsed.keep_float, rounds),
        ("--keep", parsed.keep is not None, not rounds),
    ):
        if given and not fits:
            raise InputError(f"{option} says nothing of --to {parsed.to}; leave it out")
    # Imported here, for other commands start without JAX.
    from bigmodel.compression.making import compress

    compress(parsed)
    return 0
