"""The cells of a study in one metric: over their seeds, beside the baseline, and by option."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Sequence
from typing import NamedTuple

import numpy as np

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
    rows = []
    for cell in study.cells:
        name = cell.name
        done = [one.result.summary for one in scores[name] if one.result.state in FINISHED]
        row = Row(
            cell,
            tuple(scores[name]),
            spread(values[name]),
            comparisons.get(name),
            adjusted.get(name, math.nan),
            sum(summary["seconds"] for summary in done) / len(done) if done else math.nan,
            done[0].get("parameters") if done else None,
        )
        rows.append(row)
    return rows


def best_rows(rows: Sequence[Row], baseline: Cell, *, maximize: bool, count: int) -> list[Row]:
    """Returns the baseline and the other cells with the best means, ``count`` in all."""
    known = [row for row in rows if row.spread.count]
    first = [row for row in known if row.cell.name == baseline.name]
    others = [row for row in known if row.cell.name != baseline.name]
    others.sort(key=lambda row: row.spread.mean, reverse=maximize)
    return [*first, *others[: count - len(first)]]


class Level(NamedTuple):
    """One value of an option. ``comparison`` is None for the value that the baseline has.

    ``adjusted`` is its p-value, corrected for the number of such comparisons in all options.
    """

    value: str
    spread: Spread
    comparison: Comparison | None
    adjusted: float


class Effect(NamedTuple):
    """An option and its values, averaged over ``used`` of the ``settings`` of the other options."""

    option: str
    levels: tuple[Level, ...]
    used: int
    settings: int


def main_effects(
    study: Study, rows: Sequence[Row], baseline: Cell, *, maximize: bool
) -> tuple[Effect, ...] | str:
    """Returns the effect of each option, or the reason why there is none.

    A seed's value at one value of an option is the mean over the settings of all other options,
    so the seeds are what the interval is over. A setting is left out where a run of it is missing
    or not finite under a seed that others have: its mean would be over other runs than theirs.
    """
    choices = {
        name: list(dict.fromkeys(cell.options.get(name, "") for cell in study.cells))
        for name in study.varied
    }
    if sum(len(values) > 1 for values in choices.values()) < 2:
        return "fewer than two options vary, so the cells themselves are the effects"
    whole = math.prod(map(len, choices.values()))
    if len(study.cells) != whole or any(len(cell.options) != len(choices) for cell in study.cells):
        return (
            f"the cells are {len(study.cells)} and not the full grid of {whole} combinations, "
            "so what one option does cannot be told from what the others do"
        )
    # An axis for each option, the last one for the seeds.
    grid = np.full((*map(len, choices.values()), len(study.seeds)), np.nan)
    for row in rows:
        place = [values.index(row.cell.options[name]) for name, values in choices.items()]
        grid[*place] = row.values
    grid = grid[..., np.isfinite(grid).any(axis=tuple(range(len(choices))))]
    comparisons = sum(len(values) - 1 for values in choices.values())
    levels: list[tuple[str, Level]] = []
    counts = {}
    for axis, (option, values) in enumerate(choices.items()):
        if len(values) == 1:
            continue
        settings = whole // len(values)
        by_setting = np.moveaxis(grid, axis, 0).reshape(len(values), settings, grid.shape[-1])
        used = np.isfinite(by_setting).all(axis=(0, 2)) & (grid.shape[-1] > 0)
        counts[option] = (int(used.sum()), settings)
        means = [
            by_setting[at, used].mean(axis=0).tolist() if used.any() else []
            for at in range(len(values))
        ]
        beside = means[values.index(baseline.options[option])]
        for value, seeds in zip(values, means, strict=True):
            comparison = None
            if value != baseline.options[option]:
                comparison = compare(seeds, beside, maximize=maximize, comparisons=comparisons)
            levels.append((option, Level(value, spread(seeds), comparison, math.nan)))
    if not any(used for used, _ in counts.values()):
        return "wherever only one option differs, a run is missing, not finite or failed"
    ps = [level.comparison.p if level.comparison else math.nan for _, level in levels]
    adjusted = [
        (option, level._replace(adjusted=p))
        for (option, level), p in zip(levels, holm(ps), strict=True)
    ]
    return tuple(
        Effect(option, tuple(level for name, level in adjusted if name == option), *count)
        for option, count in counts.items()
    )
