"""Whether two runs have the same results."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import NamedTuple, TypeAlias

from bigmodel.run_directory.history import History
from bigmodel.run_directory.recorded import Recorded

Values: TypeAlias = dict[tuple[int, str], float | None]
"""Metrics by step and name; None if not finite."""


class Verdict(NamedTuple):
    """Whether two runs are equal, and the lines that say so."""

    equal: bool
    lines: tuple[str, ...]


def judge(recorded: Recorded, again: Recorded, *, tolerance: float | None = None) -> Verdict:
    """Compares the ends, the logged metrics and the parameters of two runs.

    Metrics count as equal within ``tolerance``, relative and absolute too, and the parameters are
    then not compared. None asks for the same bits of everything.
    """
    lines = [*_differing(recorded, again, "status", "step", "reason")]
    lines += _metrics(recorded.history, again.history, tolerance)
    if tolerance is None:
        lines += _differing(recorded, again, "params_digest")
    if lines:
        return Verdict(False, ("different:", *(f"  {line}" for line in lines)))
    values = metrics_of(recorded.history)
    names = {name for _, name in values}
    digest = recorded.summary.get("params_digest")
    same = f"params_digest {digest}" if digest else str(recorded.summary.get("reason"))
    if tolerance is not None:
        same = f"within {tolerance:g}, digests left out"
    return Verdict(True, (f"equal: {same}; {len(values)} values of {len(names)} metrics",))


def metrics_of(history: History) -> Values:
    """All metrics of a run, without times and speeds."""
    return {
        (line["step"], name): value
        for line in history
        for name, value in line.items()
        if "/" in name
    }


def relative(a: float | None, b: float | None) -> float:
    """The difference of two values relative to the larger one; infinite if one is not finite."""
    if a is None or b is None:
        return 0.0 if a is b else math.inf
    return 0.0 if a == b else abs(a - b) / max(abs(a), abs(b))


def _differing(recorded: Recorded, again: Recorded, *names: str) -> Iterator[str]:
    """Entries of the summaries."""
    for name in names:
        there, here = recorded.summary.get(name), again.summary.get(name)
        if there != here:
            yield f"{name} is {there} there and {here} here"


def _metrics(there: History, here: History, tolerance: float | None) -> Iterator[str]:
    a, b = metrics_of(there), metrics_of(here)
    for one, other, lacks in ((a, b, "not here"), (b, a, "not there")):
        missing = [key for key in one if key not in other]
        if missing:
            step, name = missing[0]
            yield f"{len(missing)} values are {lacks}, first {name} of step {step}"
    both = [key for key in a if key in b]
    differing = [key for key in both if not _equal(a[key], b[key], tolerance)]
    if not differing:
        return
    first = step, name = differing[0]
    yield f"first at step {step}: {name} is {a[first]} there and {b[first]} here"
    most = max(differing, key=lambda key: relative(a[key], b[key]))
    yield (
        f"{len(differing)} of {len(both)} values differ, relatively by "
        f"{relative(a[most], b[most]):.2g} at most, {most[1]} of step {most[0]}"
    )


def _equal(a: float | None, b: float | None, tolerance: float | None) -> bool:
    if tolerance is None or a is None or b is None:
        return a == b
    return math.isclose(a, b, rel_tol=tolerance, abs_tol=tolerance)
