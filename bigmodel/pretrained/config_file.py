"""Values of a ``config.json``, which anybody may have written."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

from bigmodel.errors import naming
from bigmodel.experiment import InputError

MOST = 2**31 - 1
"""The largest size that a config may ask for."""

Config = Mapping[str, Any]
Choice = TypeVar("Choice")


def read_json(path: Path, kind: type = dict) -> Any:
    """The object in a JSON file, or the list where that is the kind.

    Raises:
        InputError: it is none.
        StorageError: it cannot be read.
    """
    with naming(path, "read"):
        content = path.read_bytes()
    return parsed_json(content, str(path), kind)


def parsed_json(content: bytes, what: str, kind: type = dict) -> Any:
    """The object that is written as JSON; raises InputError where ``what`` is none."""
    try:
        found = json.loads(content)
    except (ValueError, RecursionError) as error:
        raise InputError(f"{what} is no JSON: {str(error)[:80]}") from None
    if not isinstance(found, kind):
        raise InputError(f"{what} is no JSON {'list' if kind is list else 'object'}")
    return found


def whole(
    config: Config, name: str, default: int | None = None, *, least: int = 1, most: int = MOST
) -> int:
    """A whole number; raises InputError where it is none, or out of these bounds, or missing."""
    value = config.get(name)
    value = default if value is None else value
    if not isinstance(value, int) or isinstance(value, bool) or not least <= value <= most:
        raise _wrong(name, value, f"a whole number from {least} to {most}")
    return value


def number(config: Config, name: str, default: float | None = None) -> float:
    """A finite number; raises InputError where it is none or missing."""
    value = config.get(name)
    value = default if value is None else value
    most = sys.float_info.max  # No comparison with a NaN is true.
    if isinstance(value, bool) or not isinstance(value, int | float) or not abs(value) <= most:
        raise _wrong(name, value, "a number")
    return float(value)


def flag(config: Config, name: str, default: bool) -> bool:
    """True or false; raises InputError where it is neither."""
    value = config.get(name)
    value = default if value is None else value
    if not isinstance(value, bool):
        raise _wrong(name, value, "true or false")
    return value


def choice(
    config: Config, name: str, among: Mapping[str, Choice], default: str | None = None
) -> Choice:
    """What one of a few names stands for; raises InputError where it is none of them."""
    value = config.get(name)
    value = default if value is None else value
    if not isinstance(value, str) or value not in among:
        raise _wrong(name, value, f"one of {', '.join(among)}")
    return among[value]


def inner(config: Config, name: str) -> Config:
    """An object within the config, empty where there is none; raises InputError for another."""
    value = config.get(name)
    if not isinstance(value, Mapping | None):
        raise _wrong(name, value, "an object")
    return value or {}


def fixed(config: Config, values: Mapping[str, Sequence[Any]]) -> None:
    """Raises InputError where the config has a value that is none of those a model can have."""
    for name, known in values.items():
        value = config.get(name)
        if value is not None and value not in known:
            raise _wrong(name, value, f"{' or '.join(json.dumps(each) for each in known)} here")


def _wrong(name: str, value: Any, allowed: str) -> InputError:
    if value is None:
        return InputError(f"config.json has no {name}")
    return InputError(f"{name} in config.json is {json.dumps(value)[:60]}; it must be {allowed}")
