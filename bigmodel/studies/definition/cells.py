"""The configs of a study's cells, each option checked before anything runs."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from bigmodel.config import to_json, value_at, with_values
from bigmodel.experiment import InputError
from bigmodel.runtime.command_line import option_names, parse
from bigmodel.runtime.cross_validation import has_folds
from bigmodel.studies.definition.grid import Choice, flag

GIVEN = {"seed": "--seeds", "run.dir": "the study's own folder"}
"""Options that a study chooses by itself, and by what."""


def resolve(default: Any, options: Sequence[str], choices: Sequence[Choice]) -> list[Any]:
    """The config of each choice.

    Args:
        default: the experiment's config without options.
        options: what all cells have, as typed.
        choices: the cells.

    Raises:
        InputError: for an option or a value that the experiment does not have, one that the study
            chooses itself, one that is varied and given too, and two cells with the same config.
    """
    varied = dict.fromkeys(name for choice in choices for name in choice)
    given = {word.split("=")[0].removeprefix("--").replace("_", "-") for word in options}
    for name, by in GIVEN.items():
        if name in varied or name in given:
            raise InputError(f"--{name} is not for a study: it is chosen by {by}")
    given |= {name.replace(".no-", ".").removeprefix("no-") for name in given}
    both = sorted(given & varied.keys())
    if both:
        raise InputError(f"--{both[0]} is varied and given after -- too; leave one of them out")
    base = parse(default, options, description="")
    values = {pair: _value(base, *pair) for choice in choices for pair in sorted(choice.items())}
    configs = []
    seen: dict[str, Choice] = {}
    for choice in choices:
        paths = {name.replace("-", "_"): values[name, text] for name, text in choice.items()}
        try:
            config = with_values(base, paths)
        except InputError as error:
            raise InputError(f"{_words(choice)}: {error}") from None
        if has_folds(config):
            folds = ",".join(map(str, range(config.data.folds)))
            raise InputError(f"--data.folds in a study: vary the folds, --vary data.fold={folds}")
        text = json.dumps(to_json(config), sort_keys=True)
        if text in seen:
            raise InputError(f"the same cell twice: {_words(seen[text])} and {_words(choice)}")
        seen[text] = choice
        configs.append(config)
    return configs


def _value(base: Any, name: str, text: str) -> Any:
    """The value of an option from its text, as the command line would take it."""
    try:
        parsed = parse(base, as_arguments(base, name, text), description="")
    except InputError as error:
        raise InputError(f"--vary {name}={text}: {error}") from None
    return value_at(parsed, name.replace("-", "_"))


def as_arguments(config: Any, name: str, text: str) -> list[str]:
    """An option and its value as words of a command line."""
    path = name.replace("-", "_")
    if f"--{name}" not in option_names(config):
        return [f"--{name}"]  # what there is in its place, the command line says
    try:
        value = value_at(config, path)
    except AttributeError:
        raise InputError(f"--{name} switches off what can be varied over true,false") from None
    if isinstance(value, bool):
        words = {"true": flag(name, on=True), "false": flag(name, on=False)}
        if text.lower() not in words:
            raise InputError(f"--{name} is {text}; it is true or false")
        return [words[text.lower()]]
    if isinstance(value, tuple):
        return [f"--{name}", *text.split()]
    return [f"--{name}={text}"]


def as_options(config: Any, choice: Mapping[str, str]) -> list[str]:
    """A choice as words of a command line."""
    return [word for name, text in choice.items() for word in as_arguments(config, name, text)]


def _words(choice: Choice) -> str:
    return " ".join(f"{name}={value}" for name, value in choice.items())
