"""What the commands of ``launch.py`` have in common."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from typing import NoReturn, Protocol

from bigmodel.experiment import InputError


class Command(Protocol):
    """A module with a command. Its docstring is the help; the first line of it the summary."""

    __name__: str
    __doc__: str | None

    def add_options(self, parser: argparse.ArgumentParser) -> None:
        """Adds what may stand before ``--`` on the command line."""

    def execute(self, parsed: argparse.Namespace, options: Sequence[str]) -> int:
        """Does it, and gives the exit status. ``options`` are those after ``--``.

        Raises:
            InputError: where what the user gave cannot be used.
        """


class Parser(argparse.ArgumentParser):
    """A parser whose errors are InputErrors of one line."""

    def error(self, message: str) -> NoReturn:
        """Says what is wrong and where an experiment's options belong."""
        hint = ""
        if message.startswith("unrecognized arguments"):
            hint = "; the options of the experiment come after --"
        raise InputError(f"{message}{hint} (see {self.prog} --help)")
