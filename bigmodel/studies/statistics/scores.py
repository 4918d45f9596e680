"""The cells of a study in one metric: over their seeds, and compared with the baseline."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from bigmodel.experiment import InputError
from bigmodel.nearest import nearest_option
from bigmodel.studies.metric import FINISHED, value_of
from bigmodel.studies.runs import Result
from bigmodel.studies.statistics.statistics import Comparison, Spread, compare, holm, spread
from bigmodel.studies.study import Cell, Study


class Score(NamedTuple):
    """A run and its value of the metric, which is NaN if the run does not count."""

    result: Result
    step: int | None
    value: float


class Row(NamedTuple):
    """A cell over its seeds.

    ``comparison`` is None for the baseline. ``adjusted`` is its p-value, corrected for the
    number of cells (Holm). ``seconds`` is the mean over the finished runs.
    """

    cell: Cell
    scores: tuple[Score, ...]
    spread: Spread
    comparison: Comparison | None
    adjusted: float
    seconds: float
    parameters: int | None

    @property
    def values(self) -> list[float]:
        """The value of each seed, in the order of the study's seeds."""
        return [score.value for score in self.scores]


def find_baseline(study: Study, words: str | None) -> Cell:
    """Finds a cell by its name or its options, ``a=1,b=2``; the default is the first one.

    Raises:
        InputError: where no cell or more than one is meant, with the nearest name.
    """
    if words is None:
        return study.cells[0]
    named = [cell for cell in study.cells if cell.name == words]
    if named:
        return named[0]
    names = "|".join(map(re.escape, study.varied))
    # A value may have commas in it, so only one before an option's name parts two of them.
    pairs = [part.partition("=") for part in re.split(f"[, ](?=(?:{names})=)", words)]
    wanted = {name.strip(): value.strip() for name, _, value in pairs}
    found = [cell for cell in study.cells if wanted.items() <= cell.options.items()]
    if len(found) == 1:
        return found[0]
    if found:
        raise InputError(
            f"baseline {words} is {len(found)} cells; give all of {', '.join(study.varied)}"
        )
    known = [cell.name for cell in study.cells]
    near = nearest_option(words, known)
    raise InputError(f"the study has no cell {words}; {near}one is {known[0]}")


def score_cells(
    study: Study, results: Iterable[Result], *, metric: str, at: str, baseline: Cell, maximize: bool
) -> list[Row]:
    """Returns a row for each cell, in the order of the study.

    Raises:
        InputError: where the best step would be chosen on test.
    """
    scores: dict[str, list[Score]] = {cell.name: [] for cell in study.cells}
    for result in results:
        scores[result.cell.name].append(Score(result, *value_of(result, metric, at)))
    values = {name: [score.value for score in some] for name, some in scores.items()}
    others = [name for name in values if name != baseline.name]
    beside = values[baseline.name]
    comparisons = {
        name: compare(values[name], beside, maximize=maximize, comparisons=len(others))
        for name in others
    }
    adjusted = dict(zip(others, holm([comparisons[name].p for name in others]), strict=True))
    return [
        _row(cell, scores[cell.name], comparisons.get(cell.name), adjusted.get(cell.name, math.nan))
        for cell in study.cells
    ]


def _row(
    cell: Cell, scores: Sequence[Score], comparison: Comparison | None, adjusted: float
) -> Row:
    done = [score.result.summary for score in scores if score.result.state in FINISHED]
    seconds = [summary["seconds"] for summary in done]
    return Row(
        cell,
        tuple(scores),
        spread([score.value for score in scores]),
        comparison,
        adjusted,
        sum(seconds) / len(seconds) if seconds else math.nan,
        done[0].get("parameters") if done else None,
    )


def best_rows(rows: Sequence[Row], baseline: Cell, *, maximize: bool, count: int) -> list[Row]:
    """Returns the baseline and the other cells with the best means, ``count`` in all."""
    known = [row for row in rows if row.spread.count]
    first = [row for row in known if row.cell.name == baseline.name]
    others = [row for row in known if row.cell.name != baseline.name]
    others.sort(key=lambda row: row.spread.mean, reverse=maximize)
    return [*first, *others[: count - len(first)]]
