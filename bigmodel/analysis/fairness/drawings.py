"""The figures of an audit of groups: their metrics with intervals, and their calibration."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from bigmodel.analysis.estimates import share
from bigmodel.analysis.fairness.rates import BASE
from bigmodel.analysis.fairness.report import Report
from bigmodel.analysis.predictions import Predictions
from bigmodel.figures.canvas import picture, png
from bigmodel.figures.intervals import Band, Interval, draw_bands, draw_intervals
from bigmodel.pages.page import Drawing

SHOWN = 12
"""Groups in a figure at most, the largest."""
CURVES = 6
BINS = 10
FEWEST = 10
"""Examples of a bin at least."""
ERRORS = ("mean error", "MAE", "RMSE")


def largest(report: Report, most: int) -> list[int]:
    """The numbers of the largest groups that are large enough, in the order of all."""
    counts, smallest = report.comparison.counts, report.comparison.smallest
    order = np.argsort(-counts, kind="stable")[:most]
    return sorted(int(at) for at in order if counts[at] >= smallest)


def draw_metrics(report: Report) -> Drawing | None:
    """Draws the rates, or the errors, of each group with their intervals."""
    found = report.comparison
    chosen = largest(report, SHOWN)
    names = [name for name in report.shares if name != BASE] or list(ERRORS)
    rows = []
    for metric in names:
        for at in chosen:
            one = found.by_group[metric][at]
            if np.isfinite(one.value) and one.examples >= found.smallest:
                label = f"{found.groups.names[at]} ({one.examples:,})"
                rows.append(Interval(label, one.value, one.low, one.high, group=metric))
    if not rows:
        return None
    rates = f"rate of {report.positive!r}" if report.positive else "share"
    figure = draw_intervals(rows, x=rates if report.shares else "error, in units of the target")
    which = "the" if len(chosen) == len(found.counts) else f"the {len(chosen)} largest"
    caption = (
        f"Metrics of {which} groups by {found.groups.name} with 95 % intervals; the number in "
        "parentheses is that of the examples that a metric is of."
    )
    return Drawing("metrics", caption, png(figure), picture(figure))


def draw_calibration(report: Report, predictions: Predictions) -> Drawing | None:
    """Draws how often a group's predictions are right against how probable they are said to be."""
    if not predictions.names:
        return None
    if report.positive is None:
        said = predictions.predicted.max(axis=1)
        true = predictions.predicted.argmax(axis=1) == predictions.right
        x, y = "probability of the predicted class", "share that is right"
    else:
        positive = predictions.names.index(report.positive)
        said, true = predictions.predicted[:, positive], predictions.right == positive
        x, y = f"probability of {report.positive!r}", f"share that is {report.positive!r}"
    groups = report.comparison.groups
    line = np.array([0.0, 1.0])
    bands = [Band("as frequent as probable", line, line, line, line)]
    for at in largest(report, CURVES):
        member = groups.number == at
        points = list(_bins(said[member], true[member]))
        if points:
            bands.append(Band(groups.names[at], *np.array(points).T))
    if len(bands) == 1:
        return None
    figure = draw_bands(bands, x=x, y=y, names=groups.name, reference=0)
    caption = (
        f"Calibration of the largest groups: in each tenth of the probabilities with {FEWEST} or "
        "more examples of a group, how many are as predicted, in a band of 95 % intervals."
    )
    return Drawing("calibration", caption, png(figure), picture(figure))


def _bins(said: np.ndarray, true: np.ndarray) -> Iterator[tuple[float, float, float, float]]:
    """The mean probability and the share with its interval, of each bin with enough examples."""
    at = np.minimum((said * BINS).astype(int), BINS - 1)
    for number in range(BINS):
        inside = at == number
        if inside.sum() >= FEWEST:
            one = share(int(true[inside].sum()), int(inside.sum()))
            yield float(said[inside].mean()), one.value, one.low, one.high
