"""Checks of options that many networks have."""

from __future__ import annotations

from typing import Any

from bigmodel.experiment import InputError

# Deeper ones would be traced for hours before anything could say that they do not fit.
MOST_LAYERS = 10_000


def check_sizes(options: Any, *names: str) -> None:
    """Raises InputError for a size of these names that is below 1, or too many layers."""
    for name in names:
        value = getattr(options, name)
        if value is not None and value < 1:
            option = name.replace("_", "-")
            raise InputError(f"--model.{option} {value} is too small; use 1 or more")
        if name == "layers" and value > MOST_LAYERS:
            raise InputError(f"--model.layers {value} is too large; use at most {MOST_LAYERS}")


def check_dropout(dropout: float) -> None:
    """Raises InputError for what is no rate of dropout."""
    if not 0 <= dropout < 1:
        raise InputError(f"--model.dropout {dropout} must be at least 0 and below 1")
