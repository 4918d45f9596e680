"""Main effects: what each option does by itself, as mean over the values of all others."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from typing import NamedTuple

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
    adjusted: float = math.nan


class Effect(NamedTuple):
    """An option with its values; ``used`` of the ``settings`` of the other options are in it."""

    option: str
    levels: tuple[Level, ...]
    used: int
    settings: int


def main_effects(
    study: Study, rows: Sequence[Row], baseline: Cell, *, maximize: bool
) -> tuple[Effect, ...] | str:
    """The effect of each option, or why there is none to be had.

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
    by_options = {tuple(row.cell.options[name] for name in choices): row for row in rows}
    comparisons = sum(len(values) - 1 for values in choices.values())
    effects = [
        _effect(name, choices, by_options, baseline, maximize=maximize, comparisons=comparisons)
        for name in choices
        if len(choices[name]) > 1
    ]
    if not any(effect.used for effect in effects):
        return "wherever only one option differs, a run is missing, not finite or failed"
    return _corrected(effects)


def _corrected(effects: Sequence[Effect]) -> tuple[Effect, ...]:
    levels = [level for effect in effects for level in effect.levels]
    ps = holm([level.comparison.p if level.comparison else math.nan for level in levels])
    given = iter(ps)
    return tuple(
        effect._replace(
            levels=tuple(level._replace(adjusted=next(given)) for level in effect.levels)
        )
        for effect in effects
    )


def _effect(
    option: str,
    choices: dict[str, list[str]],
    rows: dict[tuple[str, ...], Row],
    baseline: Cell,
    *,
    maximize: bool,
    comparisons: int,
) -> Effect:
    place = list(choices).index(option)
    others = [values for name, values in choices.items() if name != option]
    settings = list(itertools.product(*others))
    count = len(next(iter(rows.values())).values)
    seeds = [
        seed
        for seed in range(count)
        if any(math.isfinite(row.values[seed]) for row in rows.values())
    ]

    def value(setting: tuple[str, ...], level: str, seed: int) -> float:
        return rows[(*setting[:place], level, *setting[place:])].values[seed]

    used = [
        setting
        for setting in settings
        if seeds
        and all(
            math.isfinite(value(setting, level, seed))
            for level in choices[option]
            for seed in seeds
        )
    ]
    means = {
        level: [sum(value(one, level, seed) for one in used) / len(used) for seed in seeds]
        if used
        else []
        for level in choices[option]
    }
    first = baseline.options[option]
    beside = {
        level: compare(some, means[first], maximize=maximize, comparisons=comparisons)
        for level, some in means.items()
        if level != first
    }
    levels = tuple(Level(level, spread(some), beside.get(level)) for level, some in means.items())
    return Effect(option, levels, len(used), len(settings))
