"""Losses of predicted numbers, and what is said of them over a whole split."""

from __future__ import annotations

from functools import partial

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from bigmodel.experiment import Batch, Mean, Measured, PyTree, Results, Rows, scalars
from bigmodel.figures.scatter import draw_scatter
from bigmodel.training.losses import weighted
from bigmodel.training.reports import Report


def squared_error(predictions: Float[Array, " batch"], batch: Batch) -> Mean:
    """``(prediction - target)^2``, whose mean is least where predictions are means."""
    return weighted(jnp.square(predictions - batch["target"]), batch)


def absolute_error(predictions: Float[Array, " batch"], batch: Batch) -> Mean:
    """``|prediction - target|``, whose mean is least where predictions are medians."""
    return weighted(jnp.abs(predictions - batch["target"]), batch)


def regression(name: str, *, mean: float = 0.0, scale: float = 1.0) -> Report:
    """Reports on predicted numbers, as scikit-learn computes them from all predictions.

    Metrics are ``rmse`` and ``mae``, in the units of the data, and ``r2``, which is nan for less
    than two examples; the figure ``predictions`` has a point for each example.

    Args:
        name: what is predicted.
        mean: a target of 0 stands for this number,
        scale: and a target of 1 for this much more.
    """

    def prediction(predictions: PyTree, batch: Batch) -> PyTree:
        return {"predicted": predictions, "target": batch["target"]}

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

    return Report(gathered={"prediction": prediction}, summarize=summarize)
