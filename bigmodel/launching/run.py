"""Trains an experiment.

Runs the experiment's script in the place of this process, so that signals reach it.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence

from bigmodel.experiment import InputError
from bigmodel.launching.commands import add_script, check_script


def add_options(parser: argparse.ArgumentParser) -> None:
    """Adds the options of the command."""
    add_script(parser)
    parser.add_argument("--devices", type=int, help="virtual devices on a CPU; default 1")


def execute(parsed: argparse.Namespace, options: Sequence[str]) -> int:
    """Becomes the experiment."""
    check_script(parsed.script)
    environment = dict(os.environ)
    if parsed.devices is not None:
        if parsed.devices < 1:
            raise InputError(f"--devices is {parsed.devices}; it must be at least 1")
        environment["JAX_NUM_CPU_DEVICES"] = str(parsed.devices)
    sys.stdout.flush()
    os.execve(sys.executable, [sys.executable, str(parsed.script), *options], environment)
