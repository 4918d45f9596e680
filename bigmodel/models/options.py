"""Checks of options that many networks have."""

from __future__ import annotations

import math
from typing import Any

from bigmodel.experiment import InputError

# Tracing deeper ones would take hours before anything could say that they do not fit.
MOST_LAYERS = 10_000


def check_sizes(options: Any, *names: str) -> None:
    """Raises InputError for a size of these names that is below 1, or too many layers."""
    for name in names:
        value = getattr(options, name)
        if value is not None and value < 1:
            raise InputError(f"{option(name)} {value} is too small; use 1 or more")
        if name == "layers" and value > MOST_LAYERS:
            raise InputError(f"--model.layers {value} is too large; use at most {MOST_LAYERS}")


def check_widths(options: Any, name: str = "widths", *, least: int = 1) -> None:
    """Raises InputError unless an option is at least so many positive numbers."""
    values = getattr(options, name)
    if len(values) < least or min(values, default=1) < 1:
        count = "one or more positive numbers" if least else "positive numbers"
        raise InputError(f"{option(name)} {values} must be {count}")


def check_divides(options: Any, part: str, whole: str) -> None:
    """Raises InputError where one option does not divide another; names the nearest that does."""
    value, size = getattr(options, part), getattr(options, whole)
    if size % value:
        fitting = [count for count in range(1, size + 1) if size % count == 0]
        nearest = min(fitting, key=lambda count: abs(count - value))
        raise InputError(
            f"{option(part)} {value} does not divide {option(whole)} {size}; "
            f"use {nearest}, or another {whole}"
        )


def check_even_heads(options: Any) -> None:
    """Raises InputError unless the width is even and a multiple of the heads; names one that is."""
    width, multiple = options.width, 2 * options.heads
    if width % options.heads or width % 2:
        raise InputError(
            f"--model.width {width} must be even and a multiple of --model.heads "
            f"{options.heads}; use {-(-width // multiple) * multiple}"
        )


def check_window(options: Any, *, even: bool = False) -> None:
    """Raises InputError for a window of no positions, and for global tokens without a window.

    An even one has as many on either side of a position.
    """
    check_sizes(options, "window")
    window, first = options.window, options.global_tokens
    if even and window is not None and window % 2:
        raise InputError(
            f"--model.window {window} must be even, half of it on either side; use {window + 1}"
        )
    if first < 0:
        raise InputError(f"--model.global-tokens {first} is too small; use 0 or more")
    if first and window is None:
        raise InputError(
            f"--model.global-tokens {first} needs --model.window, without which all see all"
        )


def check_dropout(dropout: float) -> None:
    """Raises InputError for what is not a dropout rate."""
    if not 0 <= dropout < 1:
        raise InputError(f"--model.dropout {dropout} must be at least 0 and below 1")


def check_epsilon(epsilon: float) -> None:
    """Raises InputError for what cannot be added to a variance."""
    if not 0 <= epsilon < math.inf:
        raise InputError(f"--model.epsilon {epsilon} must be 0 or more; 1e-6 is usual")


def check_normalization(options: Any) -> None:
    """Raises InputError unless means are finite numbers, and deviations are above 0."""
    for name, least in (("mean", -math.inf), ("deviation", 0)):
        values = getattr(options, name)
        if not all(least < value < math.inf for value in values):
            above = " above 0" if name == "deviation" else ""
            raise InputError(f"{option(name)} {values} must be finite numbers{above}")


def option(name: str) -> str:
    """How an option of a model is written on the command line."""
    return f"--model.{name.replace('_', '-')}"
