"""What differs between two nested settings, in words."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any


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
