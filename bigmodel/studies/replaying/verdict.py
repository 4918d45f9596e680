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

    A run that went on from a checkpoint may have logged what one without a break does not, as at
    the end that it once had. Where all else is equal, what only one of the two has does not count.
    """
    there, here = metrics_of(recorded.history), metrics_of(again.history)
    ends = [*_differing(recorded, again, "status", "step", "reason")]
    missing = [*_missing(there, here)]
    lines = [*_values(there, here, tolerance)]
    if tolerance is None:
        lines += _differing(recorded, again, "params_digest")
    common = there.keys() & here.keys()
    went_on = any(start.get("step", 0) > 0 for start in recorded.manifest.get("starts", ()))
    if ends or lines or (missing and not (went_on and common)):
        found = (*ends, *missing, *lines)
        return Verdict(False, ("different:", *(f"  {line}" for line in found)))
    names = {name for _, name in common}
    digest = recorded.summary.get("params_digest")
    same = f"params_digest {digest}" if digest else str(recorded.summary.get("reason"))
    if tolerance is not None:
        same = f"within {tolerance:g}, digests left out"
    alone = len(there.keys() ^ here.keys())
    more = f"; {alone} values are of one alone, for the run went on from a checkpoint"
    said = f"equal: {same}; {len(common)} values of {len(names)} metrics{more if alone else ''}"
    return Verdict(True, (said,))


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


def _missing(there: Values, here: Values) -> Iterator[str]:
    """What only one of the two runs has."""
    for one, other, lacks in ((there, here, "not here"), (here, there, "not there")):
        missing = [key for key in one if key not in other]
        if missing:
            step, name = missing[0]
            yield f"{len(missing)} values are {lacks}, first {name} of step {step}"


def _values(a: Values, b: Values, tolerance: float | None) -> Iterator[str]:
    """How the values differ that both runs have."""
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
