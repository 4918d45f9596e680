"""Runs experiments on many devices and machines, and trains, reports and replays studies.

python launch.py run experiments/cnn.py --devices 8 -- --mesh.fsdp 4 --run.steps 500
"""

from __future__ import annotations

import argparse
import re
import sys
from collections.abc import Sequence
from typing import Any, NoReturn, Protocol, cast

from bigmodel import errors
from bigmodel.analysis import audit, card, explain
from bigmodel.compression import compress
from bigmodel.experiment import InputError
from bigmodel.export import decrypt, export
from bigmodel.inference import evaluate, predict
from bigmodel.launching import prepare, run, submit
from bigmodel.output import protect_output
from bigmodel.planning import plan
from bigmodel.protection import sign, verify
from bigmodel.serving import serve
from bigmodel.studies import ablate, compare, listing, replay, report, work


class Command(Protocol):
    """A module with a command. Its docstring is the help; the first line of it the summary."""

    __name__: str
    __doc__: str | None

    def add_options(self, parser: argparse.ArgumentParser) -> None:
        """Adds what may stand before ``--`` on the command line."""

    def execute(self, parsed: argparse.Namespace, options: Sequence[str]) -> int:
        """Runs the command and returns the exit status. ``options`` come after ``--``.

        Raises:
            InputError: where what the user gave cannot be used.
        """


class Parser(argparse.ArgumentParser):
    """A parser that raises its errors as InputErrors of one line."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        # As in Python 3.14; before, -1e-1 is an option and no number.
        self._negative_number_matcher = re.compile(r"-\.?\d")

    def error(self, message: str) -> NoReturn:
        """Says what is wrong and where an experiment's options belong."""
        hint = ""
        if message.startswith("unrecognized arguments"):
            hint = "; the options of the experiment come after --"
        raise InputError(f"{message}{hint} (see {self.prog} --help)")


COMMANDS = {
    "run": run,
    "submit": submit,
    "prepare": prepare,
    "plan": plan,
    "ablate": ablate,
    "work": work,
    "report": report,
    "replay": replay,
    "compare": compare,
    "list": listing,
    "predict": predict,
    "evaluate": evaluate,
    "explain": explain,
    "serve": serve,
    "export": export,
    "audit": audit,
    "card": card,
    "decrypt": decrypt,
    "sign": sign,
    "verify": verify,
    "compress": compress,
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
    parsed, rest = parser.parse_known_args(own)
    if rest and hasattr(parsed, "inputs") and not any(each.startswith("-") for each in rest):
        # Inputs may come after options too, where argparse does not look for them.
        parsed.inputs, rest = parsed.inputs + rest, []
    if rest:
        parser.error(f"unrecognized arguments: {' '.join(rest)}")
    return parsed, options


def main(arguments: Sequence[str]) -> int:
    """Runs a command and returns its exit status.

    Errors are one line on stderr: bad input has the status 2, a file that cannot be read or
    written has the status 1.
    """
    try:
        parsed, options = parse(arguments)
        return cast(Command, COMMANDS[parsed.command]).execute(parsed, options)
    except errors.EXPECTED as error:
        status, message = errors.explain(error)
        print(f"error: {message}", file=sys.stderr)
        return status
    except KeyboardInterrupt:
        return errors.INTERRUPTED


if __name__ == "__main__":
    protect_output()
    sys.exit(main(sys.argv[1:]))
