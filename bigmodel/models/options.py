"""Checks of options that many networks have."""

from __future__ import annotations

from typing import Any

from bigmodel.experiment import InputError


def check_sizes(options: Any, *names: str) -> None:
    """Raises InputError for a size of these names that is given and below 1."""
    for name in names:
        value = getattr(options, name)
        if value is not None and value < 1:
            option = name.replace("_", "-")
            raise InputError(f"--model.{option} {value} is too small; use 1 or more")


def check_dropout(dropout: float) -> None:
    """Raises InputError for what is no rate of dropout."""
    if not 0 <= dropout < 1:
        raise InputError(f"--model.dropout {dropout} must be at least 0 and below 1")
