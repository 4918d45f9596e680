"""A call in a process of its own, which may die of it."""

from __future__ import annotations

import multiprocessing
import os
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from typing import Any, TypeVar

Result = TypeVar("Result")


class DiedError(RuntimeError):
    """The process has ended in the call."""


def apart(function: Callable[..., Result], *arguments: Any) -> Result:
    """What a function gives, or raises, in a new process without a stderr.

    Raises:
        DiedError: where the process ends before.
    """
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(1, mp_context=context, initializer=_silence) as pool:
        try:
            return pool.submit(function, *arguments).result()
        except BrokenProcessPool:
            raise DiedError from None


def _silence() -> None:
    """A library that aborts prints its stack first."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), 2)
