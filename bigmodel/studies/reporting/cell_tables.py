"""The tables of a report, independent of the format in which they are written."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Sequence

from bigmodel.pages.tables import LARGE, NOTHING, Entry, Table, interval, number
from bigmodel.studies.reporting.content import Report
from bigmodel.studies.runs import ENDED
from bigmodel.studies.statistics.scores import Effect, Row
from bigmodel.studies.statistics.statistics import Comparison, Spread


def cells_table(report: Report) -> Table:
    """Everything about each cell, in the order of the study."""
    varied = report.study.varied or ("cell",)
    worst, best = ("least", "greatest") if report.maximize else ("greatest", "least")
    header = (
        *varied, "seeds", "remarks", "mean", "95 % interval", "std", "interquartile mean",
        "best seed", "worst seed", "difference", "its 95 % interval", "P(better)", "p", "test",
        "p (Holm)", "effect", "seconds", "parameters",
    )  # fmt: skip
    common = decimals(report.rows)
    rows = []
    for row in report.rows:
        some = row.spread
        digits = _of_row(some, common)
        values = (some.std, some.interquartile_mean, getattr(some, best), getattr(some, worst))
        rows.append(
            (
                *_options(report, row),
                _seeds(row),
                Entry(remarks(report, row)),
                number(some.mean, digits),
                _interval(some, digits),
                *(number(value, digits) for value in values),
                *_compared(row.comparison, row.adjusted, digits),
                number(row.seconds, 1),
                Entry(NOTHING if row.parameters is None else f"{row.parameters:,}", row.parameters),
            )
        )
    words = frozenset((*range(len(varied)), len(varied) + 1))
    return Table(header, words, tuple(rows))


def short_table(report: Report, rows: Iterable[Row]) -> Table:
    """The columns that a paper or a terminal shows, for some cells."""
    varied = report.study.varied or ("cell",)
    header = (*varied, "seeds", "mean", "95 % interval", "difference", "its interval", "p (Holm)")
    common = decimals(report.rows)
    made = []
    for row in rows:
        digits = _of_row(row.spread, common)
        compared = _compared(row.comparison, row.adjusted, digits)
        mean = number(row.spread.mean, digits)
        some = (_seeds(row), mean, _interval(row.spread, digits), *compared[:2], compared[5])
        made.append((*_options(report, row), *some))
    return Table(header, frozenset(range(len(varied))), tuple(made))


def effects_table(report: Report, effects: Iterable[Effect]) -> Table:
    """Each value of each option, compared with the baseline's value."""
    header = (
        "option", "value", "seeds", "mean", "95 % interval", "difference", "its 95 % interval",
        "P(better)", "p", "test", "p (Holm)", "settings of the others",
    )  # fmt: skip
    common = decimals(report.rows)
    rows = tuple(
        (
            Entry(effect.option),
            Entry(level.value),
            Entry(str(level.spread.count), level.spread.count),
            number(level.spread.mean, digits),
            _interval(level.spread, digits),
            *_compared(level.comparison, level.adjusted, digits)[:-1],
            Entry(f"{effect.used} of {effect.settings}", effect.used),
        )
        for effect in effects
        for level in effect.levels
        for digits in [_of_row(level.spread, common)]
    )
    return Table(header, frozenset((0, 1)), rows)


def left_out_table(report: Report) -> Table:
    """The runs that are in no mean, with their state and the reason."""
    rows = [
        (
            Entry(score.result.cell.name),
            Entry(str(score.result.seed), score.result.seed),
            Entry(score.result.state),
            Entry(score.result.reason),
        )
        for score in report.scores
        if not math.isfinite(score.value)
    ]
    return Table(("cell", "seed", "state", "reason"), frozenset((0, 2, 3)), tuple(rows))


def remarks(report: Report, row: Row) -> str:
    """Marks the baseline, and counts the runs of a cell that are in no mean, by state."""
    states = Counter(
        f"no finite {report.metric}" if score.result.state in ENDED[:2] else score.result.state
        for score in row.scores
        if not math.isfinite(score.value)
    )
    words = ["baseline"] if row.cell.name == report.baseline.name else []
    return ", ".join([*words, *(f"{count} {state}" for state, count in states.items())])


def decimals(rows: Sequence[Row]) -> int:
    """The number of decimals with which the median standard deviation has two digits.

    What is large does not count, for its decimals are not shown.
    """
    spreads = sorted(row.spread.std for row in rows if 0 < row.spread.std < LARGE)
    sizes = sorted(abs(row.spread.mean) for row in rows if 0 < abs(row.spread.mean) < LARGE)
    found = spreads or sizes
    return _places(found[len(found) // 2], 2 if spreads else 4) if found else 4


def _of_row(some: Spread, digits: int) -> int:
    """The decimals of a row: more where its spread, or else its mean, has no digit in those."""
    if 0 < some.std < LARGE:
        return max(digits, _places(some.std, 1))
    return max(digits, _places(abs(some.mean), 3)) if 0 < abs(some.mean) < LARGE else digits


def _places(value: float, significant: int) -> int:
    """The decimals with which a positive number has so many significant digits, at most 8."""
    return min(8, max(0, significant - 1 - math.floor(math.log10(value))))


def _interval(of: Spread | Comparison, digits: int) -> Entry:
    return interval(of.low, of.high, digits)


def _options(report: Report, row: Row) -> tuple[Entry, ...]:
    if not report.study.varied:
        return (Entry(row.cell.name),)
    return tuple(_option(row.cell.options.get(name)) for name in report.study.varied)


def _option(value: str | None) -> Entry:
    if value is None:
        return Entry(NOTHING)
    try:
        return Entry(value, float(value))
    except ValueError:
        return Entry(value)


def _seeds(row: Row) -> Entry:
    return Entry(f"{row.spread.count}/{len(row.scores)}", row.spread.count)


def _compared(comparison: Comparison | None, adjusted: float, digits: int) -> tuple[Entry, ...]:
    """Difference, its interval, P(better), p, test, corrected p, effect size."""
    if comparison is None:
        return (Entry(NOTHING),) * 7
    difference = number(comparison.difference, digits)
    if difference.number is not None and difference.number > 0:
        difference = Entry(f"+{difference.text}", difference.number)
    return (
        difference,
        _interval(comparison, digits),
        number(comparison.improvement, 2),
        _p(comparison.p),
        Entry(comparison.test if comparison.count else NOTHING),
        _p(adjusted),
        number(comparison.effect, 2),
    )


def _p(value: float) -> Entry:
    return Entry("< 0.001", value) if value < 0.001 else number(value, 3)
