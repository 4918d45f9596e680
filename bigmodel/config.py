"""Configs as values: as JSON, and with other values of some options."""

from __future__ import annotations

import dataclasses
import json
import typing
from collections.abc import Iterable, Mapping
from typing import Any

import typeguard

ALL_ITEMS = typeguard.CollectionCheckStrategy.ALL_ITEMS


class ConfigError(ValueError):
    """A recorded config that the script no longer accepts."""


def option_name(field: str) -> str:
    """The name of a field's option: a keyword of Python, ``from``, has the field ``from_``."""
    return field.rstrip("_")


def to_json(config: Any) -> dict[str, Any]:
    """A config as plain JSON values."""

    def named(pairs: Iterable[tuple[str, Any]]) -> dict[str, Any]:
        return {option_name(field): value for field, value in pairs}

    return json.loads(json.dumps(dataclasses.asdict(config, dict_factory=named)))


def with_values(config: Any, values: Mapping[str, Any]) -> Any:
    """The config with other values of some options, by their paths.

    Raises:
        InputError: where they do not go with its other options.
    """
    parts: dict[str, dict[str, Any]] = {}
    changes: dict[str, Any] = {}
    for path, value in values.items():
        name, dot, rest = path.partition(".")
        if dot:
            parts.setdefault(name, {})[rest] = value
        else:
            changes[name] = value
    changes |= {name: with_values(getattr(config, name), inner) for name, inner in parts.items()}
    fields = {option_name(field.name): field.name for field in dataclasses.fields(config)}
    return dataclasses.replace(config, **{fields[name]: each for name, each in changes.items()})


def differences(there: Mapping[str, Any], here: Mapping[str, Any]) -> dict[str, str]:
    """What differs, by dotted name: ``model.width is 64 there and 32 here``."""
    a, b = flat(there), flat(here)
    return {
        name: f"{name} is {json.dumps(a.get(name))} there and {json.dumps(b.get(name))} here"
        for name in sorted({*a, *b})
        if a.get(name) != b.get(name)
    }


def flat(value: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Nested settings by dotted names: ``{"model.width": 64}``."""
    found: dict[str, Any] = {}
    for name, child in value.items():
        if isinstance(child, Mapping):
            found.update(flat(child, f"{prefix}{name}."))
        else:
            found[prefix + name] = child
    return found


def from_json(default: Any, value: Mapping[str, Any], prefix: str = "") -> Any:
    """Reads a config that was written as JSON; ``default`` has the values that were not.

    Raises:
        ConfigError: for an option that the config does not have, or a value it cannot have.
    """
    hints = typing.get_type_hints(type(default))
    fields = {option_name(field.name): field.name for field in dataclasses.fields(default)}
    for name in value:
        if name not in fields:
            raise ConfigError(f"there is no option {prefix}{name} any more")
    given = {}
    for name, written in value.items():
        field = fields[name]
        there = getattr(default, field)
        if dataclasses.is_dataclass(there) and isinstance(written, dict):
            given[field] = from_json(there, written, f"{prefix}{name}.")
            continue
        given[field] = _immutable(written)
        try:
            typeguard.check_type(given[field], hints[field], collection_check_strategy=ALL_ITEMS)
        except typeguard.TypeCheckError:
            said = f"{prefix}{name} cannot be {json.dumps(written)} any more"
            raise ConfigError(said) from None
    return dataclasses.replace(default, **given)


def _immutable(value: Any) -> Any:
    return tuple(_immutable(each) for each in value) if isinstance(value, list) else value
