"""Starts experiments: on many devices and machines, and as studies that are reported and replayed.

python launch.py run experiments/cnn.py --devices 8 -- --mesh.fsdp 4 --run.steps 500
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from typing import cast

from bigmodel.errors import StorageError
from bigmodel.experiment import InputError
from bigmodel.launching import run, submit
from bigmodel.launching.commands import Command, Parser
from bigmodel.planning import plan
from bigmodel.studies import ablate, compare, listing, replay, report, work

COMMANDS = {
    "run": run,
    "submit": submit,
    "plan": plan,
    "ablate": ablate,
    "work": work,
    "report": report,
    "replay": replay,
    "compare": compare,
    "list": listing,
}


def parse(arguments: Sequence[str]) -> tuple[argparse.Namespace, list[str]]:
    """Splits a command line into a command's own arguments and the options after ``--``.

    Raises:
        InputError: for arguments that the command does not have.
    """
    own, options = list(arguments), []
    if "--" in own:
        at = own.index("--")
        own, options = own[:at], own[at + 1 :]
    as_written = argparse.RawDescriptionHelpFormatter
    parser = Parser(prog="launch.py", description=__doc__, formatter_class=as_written)
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for name, module in COMMANDS.items():
        command = cast(Command, module)
        text = command.__doc__ or ""
        command.add_options(
            commands.add_parser(
                name,
                help=text.splitlines()[0],
                description=text,
                formatter_class=as_written,
            )
        )
    return parser.parse_args(own), options


def main(arguments: Sequence[str]) -> int:
    """Runs a command and returns its exit status.

    Errors are one line on stderr: bad input has the status 2, a file that cannot be read or
    written has the status 1.
    """
    try:
        parsed, options = parse(arguments)
        return cast(Command, COMMANDS[parsed.command]).execute(parsed, options)
    except InputError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except StorageError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
