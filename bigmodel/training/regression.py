"""Regressors and forecasters: their losses, experiments, and reports over a whole split."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from bigmodel.experiment import (
    Batch,
    Data,
    Experiment,
    Mean,
    Measured,
    Model,
    PyTree,
    Results,
    Rows,
    Shown,
    Variables,
    scalars,
)
from bigmodel.figures.curves import draw_lines
from bigmodel.figures.scatter import draw_scatter
from bigmodel.training.ensemble import SINGLE, Ensemble, regressors
from bigmodel.training.metrics import weighted
from bigmodel.training.optimizers import Optimizer
from bigmodel.training.supervision import Report, supervised


def regressor(
    model: Model,
    data: Data,
    report: Report,
    optimizer: Optimizer,
    *,
    steps: int,
    ensemble: Ensemble = SINGLE,
    show: Callable[[Variables], Shown] | None = None,
) -> Experiment:
    """An experiment that learns a number for each example by squared error.

    Args:
        model: reads an example and gives a number, or a window of a series and gives one for
            each of its steps.
        data: batches with ``target``, or ``targets`` for each step.
        report: :func:`regression_report`, or :func:`forecast_report` for a series.
        optimizer: options of the Optax chain.
        steps: length of the run.
        ensemble: how many such networks there are.
        show: figures for a person, made of the variables that are evaluated.
    """
    return supervised(
        regressors(model, ensemble),
        squared_error,
        {},
        optimizer,
        data,
        steps=steps,
        show=show,
        **report,
    )


def squared_error(predictions: Float[Array, "batch *time"], batch: Batch) -> Mean:
    """``(prediction - target)^2``, or its mean over time; least where predictions are means."""
    if predictions.ndim == 1:
        return weighted(jnp.square(predictions - batch["target"]), batch)
    return weighted(jnp.mean(jnp.square(predictions - batch["targets"]), axis=1), batch)


def absolute_error(predictions: Float[Array, " batch"], batch: Batch) -> Mean:
    """``|prediction - target|``, whose mean is least where predictions are medians."""
    return weighted(jnp.abs(predictions - batch["target"]), batch)


def regression_report(name: str, *, mean: float = 0.0, scale: float = 1.0) -> Report:
    """Reports on predicted numbers, as scikit-learn computes them from all predictions.

    Metrics are ``rmse`` and ``mae``, in the units of the data, and ``r2``, which is nan for less
    than two examples; the figure ``predictions`` has a point for each example. Where there is a
    prediction for each step of a window, the last one counts.

    Args:
        name: what is predicted.
        mean: a target of 0 stands for this number,
        scale: and a target of 1 for this much more.
    """

    def prediction(predictions: PyTree, batch: Batch) -> PyTree:
        last = predictions if predictions.ndim == 1 else predictions[:, -1]
        return {"predicted": last, "target": batch["target"]}

    def summarize(measured: Measured) -> Results:
        # Imported here, for it takes a second that training need not spend.
        from sklearn import metrics

        rows = measured["prediction"]
        assert isinstance(rows, Rows)
        target, predicted = (
            mean + scale * np.asarray(rows.values[key], np.float64)
            for key in ("target", "predicted")
        )
        points = np.stack([target, predicted], axis=1)
        return {
            **scalars(measured),
            "rmse": float(metrics.root_mean_squared_error(target, predicted)),
            "mae": float(metrics.mean_absolute_error(target, predicted)),
            "r2": float(metrics.r2_score(target, predicted)) if len(target) > 1 else float("nan"),
            "predictions": partial(draw_scatter, points, x=f"{name}, true", y=f"{name}, predicted"),
        }

    return Report(
        gathered={"prediction": prediction}, summarize=summarize, maximize=frozenset({"r2"})
    )


def forecast_report(name: str, *, mean: float, scale: float) -> Report:
    """The report of a regression with a figure of the predictions in time.

    Args:
        name: what is predicted.
        mean: a value of 0 stands for this number,
        scale: and a value of 1 for this much more.
    """
    report = regression_report(name, mean=mean, scale=scale)

    def summarize(measured: Measured) -> Results:
        rows = measured["prediction"]
        assert isinstance(rows, Rows)
        curves = {}
        for key, label in (("target", "true"), ("predicted", "forecast")):
            values = mean + scale * np.asarray(rows.values[key], np.float64)
            curves[label] = (np.arange(len(values), dtype=np.float64), values)
        drawn = partial(draw_lines, curves, x="steps since the part's first", y=name)
        return {**report["summarize"](measured), "forecast": drawn}

    return {**report, "summarize": summarize}
