"""Values of options and metrics as text, and text as a value."""

from __future__ import annotations

import json
from typing import Any

ABSENT = "-"


def option_text(value: Any) -> str:
    """The value of an option, as in ``config.json``."""
    return json.dumps(value, ensure_ascii=False)


def number_text(value: float | None, digits: int = 5) -> str:
    """A metric with so many digits; what was not finite has no value."""
    return "not finite" if value is None else f"{value:.{digits}g}"


def same_value(value: Any, text: str) -> bool:
    """Whether an option's value in ``config.json`` is what a text says.

    Numbers count by their value and tuples as they are typed: ``1e-3``, ``32,64``, ``None``.
    """
    if isinstance(value, list):
        parts = [part for part in text.strip("[]()").replace(",", " ").split() if part]
        return len(parts) == len(value) and all(map(same_value, value, parts))
    if isinstance(value, bool) or value is None:
        return text.lower() in (
            {None: "null", True: "true", False: "false"}[value],
            str(value).lower(),
        )
    if isinstance(value, int | float):
        try:
            return float(text) == value
        except ValueError:
            return False
    return text.strip("\"'") == value
