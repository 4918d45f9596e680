"""Forecasts of a series: after each step of a window, or after its last one alone."""

from __future__ import annotations

from functools import partial

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from bigmodel.experiment import Batch, Mean, Measured, PyTree, Results, Rows
from bigmodel.figures.lines import draw_lines
from bigmodel.training.losses import weighted
from bigmodel.training.regression import regression, squared_error
from bigmodel.training.reports import Report


def forecast_error(predictions: Float[Array, "batch *time"], batch: Batch) -> Mean:
    """The squared error of the one prediction of a window, or the mean of those of all steps."""
    if predictions.ndim == 1:
        return squared_error(predictions, batch)
    return weighted(jnp.mean(jnp.square(predictions - batch["targets"]), axis=1), batch)


def forecasts(name: str, *, mean: float, scale: float) -> Report:
    """The report of a regression on the last step's predictions, and a figure of them in time.

    Args:
        name: what is predicted.
        mean: a value of 0 stands for this number,
        scale: and a value of 1 for this much more.
    """
    of_last = regression(name, mean=mean, scale=scale)

    def at_last(predictions: PyTree, batch: Batch) -> PyTree:
        last = predictions if predictions.ndim == 1 else predictions[:, -1]
        return of_last["gathered"]["prediction"](last, batch)

    def summarize(measured: Measured) -> Results:
        rows = measured["prediction"]
        assert isinstance(rows, Rows)
        curves = {}
        for key, label in (("target", "true"), ("predicted", "forecast")):
            values = mean + scale * np.asarray(rows.values[key], np.float64)
            curves[label] = (np.arange(len(values), dtype=np.float64), values)
        drawn = partial(draw_lines, curves, x="steps since the part's first", y=name)
        return {**of_last["summarize"](measured), "forecast": drawn}

    return Report(gathered={"prediction": at_last}, summarize=summarize)
