"""Configs as values: as JSON, and with other values of some options."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from typing import Any


def to_json(config: Any) -> dict[str, Any]:
    """A config as plain JSON values."""
    return json.loads(json.dumps(dataclasses.asdict(config)))


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
    return dataclasses.replace(config, **changes)


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
