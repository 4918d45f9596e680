"""Starts experiments: on many devices now, on many machines and as studies in time.

python launch.py run experiments/cnn.py --devices 8 -- --mesh.fsdp 4 --run.steps 500
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import NoReturn


def run(script: Path, *, devices: int | None, options: Sequence[str]) -> NoReturn:
    """Runs an experiment's script in the place of this process, so that signals reach it.

    Args:
        script: a file of ``experiments/`` or one like them.
        devices: the number of virtual CPU devices. Accelerators are used all, as they are.
        options: the options of the experiment.
    """
    if not script.is_file():
        fail(f"there is no script {script}; see experiments/")
    environment = dict(os.environ)
    if devices is not None and devices < 1:
        fail(f"--devices is {devices}; it must be at least 1")
    if devices is not None:
        environment["JAX_NUM_CPU_DEVICES"] = str(devices)
    sys.stdout.flush()
    os.execve(sys.executable, [sys.executable, str(script), *options], environment)


def fail(message: str) -> NoReturn:
    """Ends with one line and exit status 2."""
    print(f"error: {message}", file=sys.stderr)
    sys.exit(2)


class Parser(argparse.ArgumentParser):
    """A parser whose errors are one line."""

    def error(self, message: str) -> NoReturn:
        """Says what is wrong and where an experiment's options belong."""
        hint = ""
        if message.startswith("unrecognized arguments"):
            hint = "; the options of the experiment come after --"
        fail(f"{message}{hint} (see {self.prog} --help)")


def main(arguments: Sequence[str]) -> NoReturn:
    """Parses the command line; an error is one line and exit status 2."""
    own, options = list(arguments), []
    if "--" in own:
        at = own.index("--")
        own, options = own[:at], own[at + 1 :]
    parser = Parser(
        prog="launch.py", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    one = commands.add_parser("run", help="train an experiment", description=run.__doc__)
    one.add_argument("script", type=Path, help="the experiment's script")
    one.add_argument("--devices", type=int, help="virtual devices on a CPU; default 1")
    parsed = parser.parse_args(own)
    run(parsed.script, devices=parsed.devices, options=options)


if __name__ == "__main__":
    main(sys.argv[1:])
