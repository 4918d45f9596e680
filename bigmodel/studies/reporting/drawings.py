"""The figures of a report: learning curves, means of the cells, and main effects."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np

from bigmodel.figures.canvas import picture, png
from bigmodel.figures.intervals import Band, Interval, draw_bands, draw_intervals
from bigmodel.pages.page import Drawing
from bigmodel.pages.tables import NOTHING
from bigmodel.run_directory.history import History
from bigmodel.studies.reporting.content import Report
from bigmodel.studies.statistics.scores import Row, best_rows

CURVES = 11
"""The most curves of a figure: the baseline, which is black, and one of each color."""
MEANS = 40
POINTS = 200
"""The largest number of points of a curve."""

MEDIAN = "the median of the seconds at which the seeds were at a step"


def draw_means(report: Report) -> Drawing:
    """Draws the mean of each cell with its interval and its seeds."""
    known = [row for row in report.rows if row.spread.count]
    rows, which = known, "all cells"
    if len(known) > MEANS:
        kept = best_rows(report.rows, report.baseline, maximize=report.maximize, count=MEANS)
        names = {row.cell.name for row in kept}
        rows = [row for row in known if row.cell.name in names]
        which = f"the best {MEANS} of {len(report.rows)} cells"
        which += ", the baseline among them" if report.compares else ""
    intervals = [
        Interval(
            label_of(report, row),
            row.spread.mean,
            row.spread.low,
            row.spread.high,
            [value for value in row.values if np.isfinite(value)],
            group=names_of(report),
        )
        for row in rows
    ]
    means = [row.spread.mean for row in known if row.cell.name == report.baseline.name]
    figure = draw_intervals(intervals, x=report.title, reference=means[0] if means else None)
    caption = f"Mean with its 95 % interval, seeds in gray, {which}"
    caption += "; the dashed line is the baseline." if means else "."
    return Drawing("means", caption, png(figure), picture(figure))


def draw_effects(report: Report) -> Drawing | None:
    """Draws the mean at each value of each option, if there are main effects."""
    if isinstance(report.effects, str):
        return None
    intervals = [
        Interval(level.value, *level.spread[1:2], *level.spread[3:5], group=effect.option)
        for effect in report.effects
        for level in effect.levels
        if level.spread.count
    ]
    if not intervals:
        return None
    figure = draw_intervals(intervals, x=report.title)
    caption = "Mean at each value of an option over the values of all others, with 95 % interval."
    return Drawing("effects", caption, png(figure), picture(figure))


def draw_all_curves(report: Report) -> Iterator[Drawing]:
    """Draws curves of the metric, its twin on validation and the training loss."""
    # No other curve is black, so there is one less without the baseline.
    count = CURVES if report.compares else CURVES - 1
    rows = best_rows(report.rows, report.baseline, maximize=report.maximize, count=count)
    known = sum(row.spread.count > 0 for row in report.rows)
    best = "the baseline and the best {} others" if report.compares else "the best {} cells"
    which = "all cells" if known == len(rows) else best.format(CURVES - 1)
    # The value of a run that does not count is not finite.
    histories = [[s.result.history for s in row.scores if np.isfinite(s.value)] for row in rows]
    twin = f"validation/{report.metric.rpartition('/')[2]}"
    compared = len(rows) > 1 and report.compares
    for metric in dict.fromkeys((report.metric, twin, "train/loss")):
        curves = [[_points(history, metric) for history in some] for some in histories]
        if not all(len(one.steps) > 1 for curve in curves for one in curve):
            continue
        for x, over in (("step", over_steps), ("seconds", over_seconds)):
            bands = [
                Band(label_of(report, row), *over(curve))
                for row, curve in zip(rows, curves, strict=True)
            ]
            figure = draw_bands(
                bands, x=x, y=metric, names=names_of(report), reference=0 if compared else None
            )
            caption = (
                f"{metric} over {'steps' if x == 'step' else MEDIAN}: mean of the "
                f"seeds, in a band from the least to the greatest, {which}"
            )
            caption += "; the baseline is dashed." if compared else "."
            name = re.sub(r"[^A-Za-z0-9_]+", "-", f"curves-{metric}-{x}")
            yield Drawing(name, caption, png(figure), picture(figure))


def names_of(report: Report) -> str:
    """The names of the options in the label of a cell."""
    return " · ".join(report.study.varied)


def label_of(report: Report, row: Row) -> str:
    """The label of a cell: its values, in the order of the options that vary."""
    values = (row.cell.options.get(name, NOTHING) for name in report.study.varied)
    return " · ".join(values) or row.cell.name


class Points(NamedTuple):
    """The logged values of a metric in one run, with their steps and seconds."""

    steps: np.ndarray
    values: np.ndarray
    seconds: np.ndarray


def _points(history: History, metric: str) -> Points:
    """The logged values of a metric; if a step was logged twice, the last value."""
    lines = {line["step"]: line for line in history if line.get(metric) is not None}
    found = [lines[step] for step in sorted(lines)]
    columns = [[line[name] for line in found] for name in ("step", metric, "seconds")]
    return Points(*(np.array(column, float) for column in columns))


def over_steps(seeds: Sequence[Points]) -> tuple[np.ndarray, ...]:
    """Returns steps, mean, minimum and maximum at the steps that all seeds have."""
    steps = sorted(set.intersection(*(set(one.steps.tolist()) for one in seeds)))
    if len(steps) > POINTS:
        chosen = np.linspace(0, len(steps) - 1, POINTS).round().astype(int)
        steps = [steps[at] for at in chosen]
    places = np.array(steps, float)
    values = np.array([one.values[np.searchsorted(one.steps, places)] for one in seeds])
    return places, values.mean(axis=0), values.min(axis=0), values.max(axis=0)


def over_seconds(seeds: Sequence[Points]) -> tuple[np.ndarray, ...]:
    """The same over time: each step is placed at the median of its seconds.

    Of seeds that share a process the first one compiles, and the others do not wait for it.
    """
    steps, *edges = over_steps(seeds)
    seconds = np.array([one.seconds[np.searchsorted(one.steps, steps)] for one in seeds])
    return np.median(seconds, axis=0), *edges
