"""The command line of an experiment, made from its config by tyro."""

from __future__ import annotations

import contextlib
import dataclasses
import io
import re
import typing
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, TypeVar

from bigmodel.config import ConfigError, from_json, option_name
from bigmodel.experiment import InputError
from bigmodel.nearest import nearest_option
from bigmodel.pretrained.config_file import inner, read_json
from bigmodel.pretrained.source import CONFIG, describe, is_foreign
from bigmodel.protection.sealing import check_plain

Config = TypeVar("Config")
OPTIONAL = bool | None
"""The type of a flag that is decided by other options where it is not given."""
FROM = "--model.from"
FROM_HELP = f"""

{FROM} PATH takes the options of --model from the config.json of a folder in Hugging Face's layout
or of a run, or from a GGUF file; those that are given beside it count."""


def parse(default: Config, arguments: Sequence[str], *, description: str) -> Config:
    """A config with the options of a command line; prints the help and exits for ``--help``.

    ``--model.from`` is no option of the config: it changes the defaults of the model's.

    Raises:
        InputError: for an unknown option, naming the nearest one, or a wrong value, saying
            what is allowed.
        StorageError: where the file of ``--model.from`` cannot be read.
    """
    arguments = list(arguments)
    known = sorted(option_names(default))
    if hasattr(default, "model"):
        known, description = [*known, FROM], description + FROM_HELP
        path = _taken(FROM, arguments)
        if path is not None:
            model = model_from(Path(path), default.model)
            default = dataclasses.replace(default, model=model)  # type: ignore[type-var]
    arguments = list(_spelled_out(default, arguments))
    for argument in arguments:
        option = argument.split("=")[0].replace("_", "-")
        if option.startswith("--") and option not in known and option != "--help":
            raise InputError(_unknown(argument.split("=")[0], known))
    if not arguments:
        return default
    import tyro  # which takes long, and not all runs need it

    for kind, field in _renamed(default):
        named = tyro.conf.arg(name=option_name(field))
        hint = typing.get_type_hints(kind)[field]
        kind.__annotations__[field] = typing.Annotated[hint, named]
    printed = io.StringIO()
    try:
        with contextlib.redirect_stderr(printed):
            return tyro.cli(type(default), args=arguments, default=default, description=description)
    except SystemExit as stop:
        if stop.code in (0, None):
            raise
        raise InputError(_one_line(printed.getvalue(), type(default).__name__)) from None


def model_from(path: Path, default: Any) -> Any:
    """The options of a model that a folder or a file of weights, or a run, has.

    Raises:
        InputError: they are those of another model, or cannot be read.
        StorageError: a file cannot be read.
    """
    name = type(default).__name__
    if is_foreign(path) or not (path / CONFIG).is_file():
        try:
            check_plain(path)
            found = describe(path)
        except InputError as error:
            raise InputError(f"{FROM}: {error}") from None
        if found.model != name:
            raise InputError(
                f"{FROM} {path} is a {found.family}, which a {found.model} would take; the model "
                f"here is a {name}"
            )
        options = found.options
    else:
        options = inner(read_json(path / CONFIG), "model")
    try:
        return from_json(default, options)
    except ConfigError as error:
        raise InputError(f"{FROM} {path} cannot be used for a {name}: {error}") from None


def _taken(option: str, arguments: list[str]) -> str | None:
    """The value of an option, which is taken out of the arguments; None where it is not there."""
    for at, argument in enumerate(arguments):
        name, equals, value = argument.partition("=")
        if name == option:
            end = at + 1 if equals else at + 2
            if len(arguments) < end:
                raise InputError(f"Missing value for argument '{option}'")
            value = value if equals else arguments[at + 1]
            del arguments[at:end]
            return value
    return None


def option_names(config: Any) -> Iterator[str]:
    """All options of a config: ``--data.batch-size`` and the like."""
    for name, kind in _options(config):
        yield name
        if kind in (bool, OPTIONAL):
            yield _negative(name)


def _options(config: Any, prefix: str = "--") -> Iterator[tuple[str, Any]]:
    """All options of a config with their types."""
    hints = typing.get_type_hints(type(config))
    for field in dataclasses.fields(config):
        value = getattr(config, field.name)
        name = prefix + option_name(field.name).replace("_", "-")
        if dataclasses.is_dataclass(value):
            yield from _options(value, f"{name}.")
        else:
            yield name, hints[field.name]


def _renamed(config: Any) -> Iterator[tuple[type, str]]:
    """The fields whose options have other names, with the dataclasses that declare them."""
    for field in dataclasses.fields(config):
        value = getattr(config, field.name)
        if dataclasses.is_dataclass(value):
            yield from _renamed(value)
        elif option_name(field.name) != field.name:
            kinds = type(config).__mro__
            yield (
                next(k for k in kinds if field.name in vars(k).get("__annotations__", ())),
                field.name,
            )


def _negative(name: str) -> str:
    head, _, last = name.rpartition(".")
    return f"{head}.no-{last}" if head else f"--no-{last.removeprefix('--')}"


def _spelled_out(config: Any, arguments: Sequence[str]) -> Iterator[str]:
    """The arguments with ``--x=False`` for the ``--no-x`` of an optional flag, as tyro wants it."""
    flags = [name for name, kind in _options(config) if kind == OPTIONAL]
    values = {name: f"{name}=True" for name in flags}
    values |= {_negative(name): f"{name}=False" for name in flags}
    for argument, following in zip(arguments, [*arguments[1:], ""], strict=False):
        written = following in ("None", "True", "False")
        yield argument if written else values.get(argument.replace("_", "-"), argument)


def _unknown(option: str, known: Sequence[str]) -> str:
    hint = nearest_option(option.replace("_", "-"), known)
    return f"there is no option {option}; {hint}--help lists them all"


def _one_line(box: str, config: str) -> str:
    """The first paragraph of what tyro prints in a box: the message without its pointers.

    Where the terminal is not one of UTF-8, the title is a paragraph of its own before it.
    """
    paragraphs: list[list[str]] = [[]]
    for line in box.splitlines():
        line = line.strip("│ ")
        if re.match(r"[─-]{10}|╰", line):
            paragraphs.append([])
        elif line and not line.startswith("╭"):
            paragraphs[-1].append(line)
    message = " ".join(paragraphs[0 if "╭" in box else 1])
    found = re.match(r"Error parsing (\S+): (.*)", message)
    if found is None:
        return message
    where, what = found.groups()
    if where.startswith("--"):
        return f"{where}: {what}"
    # A part of the config refused a value of its own, whose option begins the message.
    prefix = "" if what.startswith("--") else "--" if where == config else f"--{where}."
    return prefix + what
