"""From predictions and groups to a report."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from bigmodel.analysis.fairness.comparison import Difference, compare, differences_of_shares
from bigmodel.analysis.fairness.grouping import Groups
from bigmodel.analysis.fairness.rates import (
    calibration_by_chance,
    class_measures,
    class_shares,
    number_measures,
    positive_class,
)
from bigmodel.analysis.fairness.report import Report
from bigmodel.analysis.predictions import Predictions
from bigmodel.inference.trained import Trained


def audit_groups(
    run: Trained,
    predictions: Predictions,
    groups: Groups,
    *,
    split: str,
    positive: str | None,
    smallest: int,
    seed: int,
    options: Sequence[str] = (),
) -> Report:
    """Measures and compares groups of examples.

    Args:
        run: the run whose predictions they are.
        predictions: those of a split.
        groups: of the same examples.
        split: its name.
        positive: the class whose rates are compared; see :func:`positive_class`.
        smallest: examples that a value must be of to be compared.
        seed: decides what is drawn.
        options: what other data are audited than the run's own.

    Raises:
        InputError: there is no such class.
    """
    chosen = positive_class(predictions, positive)
    classes: dict[str, dict[str, Difference]] = {}
    chance: tuple[float, ...] = ()
    if predictions.names:
        measures = class_measures(predictions, chosen)
        rng = np.random.default_rng([seed, 1])
        rows = [np.flatnonzero(groups.number == at) for at in range(len(groups.names))]
        every = [np.arange(predictions.examples), *rows]
        chance = tuple(calibration_by_chance(predictions, some, rng) for some in every)
        for at, name in enumerate(predictions.names if chosen is None else ()):
            shares = class_shares(predictions, at)
            classes[name] = differences_of_shares(shares, groups, smallest=smallest, rng=rng)
    else:
        measures = number_measures(predictions)
    return Report(
        str(run.path),
        run.step,
        split,
        tuple(options),
        None if chosen is None else predictions.names[chosen],
        compare(measures, groups, smallest=smallest, seed=seed),
        chance,
        classes,
        seed,
    )
