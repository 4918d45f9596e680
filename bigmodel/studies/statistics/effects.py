"""Main effects: what each option does by itself, averaged over the values of all others."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from bigmodel.studies.statistics.scores import Row
from bigmodel.studies.statistics.statistics import Comparison, Spread, compare, holm, spread
from bigmodel.studies.study import Cell, Study


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
