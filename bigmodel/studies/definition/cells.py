"""The configs of a study's cells, each checked as a whole before anything runs."""

from __future__ import annotations

import json
import operator
import typing
from collections.abc import Mapping, Sequence
from typing import Any

from bigmodel.config import option_name, to_json
from bigmodel.experiment import InputError
from bigmodel.runtime.command_line import OPTIONAL, option_names, parse
from bigmodel.runtime.cross_validation import has_folds
from bigmodel.studies.definition.definition import EMPTY, Choice, flag, parted

GIVEN = {"seed": "--seeds", "run.dir": "the study's own folder"}
"""Options that a study chooses by itself, and by what."""


def resolve(default: Any, options: Sequence[str], choices: Sequence[Choice]) -> list[Any]:
    """Returns the config of each cell.

    An option is checked beside all others of its cell, so that one may need another. ``default``
    is the experiment's config without options; ``options`` are what all cells have, as typed.

    Raises:
        InputError: for a cell whose options the experiment refuses, an option that the study
            chooses itself, one that is varied and given too, and two cells with the same config.
    """
    varied = {name for choice in choices for name in choice}
    given = {word.split("=")[0].removeprefix("--").replace("_", "-") for word in options}
    for name, by in GIVEN.items():
        if name in varied or name in given:
            raise InputError(f"--{name} is not for a study: it is chosen by {by}")
    given |= {name.replace(".no-", ".").removeprefix("no-") for name in given}
    if both := sorted(given & varied):
        raise InputError(f"--{both[0]} is varied and given after -- too; leave one of them out")
    seen: dict[str, str] = {}
    configs: list[Any] = []
    for choice in choices:
        name = " ".join(f"{option}={value}" for option, value in choice.items())
        try:
            config = parse(default, [*options, *as_options(default, choice)], description="")
        except InputError as error:
            raise InputError(f"{name}: {error}" if name else str(error)) from None
        if has_folds(config):
            folds = ",".join(map(str, range(config.data.folds)))
            raise InputError(f"--data.folds in a study: vary the folds, --vary data.fold={folds}")
        other = seen.setdefault(json.dumps(to_json(config), sort_keys=True), name)
        if len(seen) == len(configs):
            raise InputError(f"the same cell twice: {other} and {name}")
        configs.append(config)
    return configs


def as_options(default: Any, choice: Mapping[str, str]) -> list[str]:
    """Writes the options of a cell as words of a command line.

    Raises:
        InputError: for an option that only switches another one off, and a switch that is
            neither true nor false.
    """
    return [word for name, text in choice.items() for word in _words(default, name, text)]


def _words(default: Any, name: str, text: str) -> list[str]:
    if f"--{name}" not in option_names(default):
        return [f"--{name}"]  # for the command line to refuse, which knows the nearest one
    head, _, field = name.replace("-", "_").rpartition(".")
    part = operator.attrgetter(head)(default) if head else default
    hints = {option_name(name): hint for name, hint in typing.get_type_hints(type(part)).items()}
    hint = hints.get(field)
    if hint is None:
        raise InputError(f"--{name} switches off what can be varied over true,false")
    if hint is bool or (hint == OPTIONAL and text != "None"):
        if text.lower() not in ("true", "false"):
            raise InputError(f"--{name} is {text}; it is true or false")
        return [flag(name, on=text.lower() == "true")]
    text = "" if text in EMPTY else text
    if any(typing.get_origin(one) is tuple for one in (hint, *typing.get_args(hint))):
        try:
            return [f"--{name}", *parted(text)]
        except ValueError:
            raise InputError(f"--{name} is {text}, where a quotation has no end") from None
    return [f"--{name}={text}"]
