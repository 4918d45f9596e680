import jax.numpy as jnp
import numpy as np
import pytest
from sklearn import metrics

from bigmodel.experiment import Mean, Rows
from bigmodel.training.regression import (
    absolute_error,
    forecast_report,
    regression_report,
    squared_error,
)

RNG = np.random.default_rng(0)
TARGET = RNG.normal(size=23).astype(np.float32)
PREDICTED = (TARGET + RNG.normal(size=23)).astype(np.float32)
PAIRS = [
    (squared_error, metrics.mean_squared_error),
    (absolute_error, metrics.mean_absolute_error),
]


def batches(size):
    """The predictions and targets in batches, the last one padded with what must not count."""
    for start in range(0, len(TARGET), size):
        rows = np.arange(start, start + size)
        weight = (rows < len(TARGET)).astype(np.float32)
        rows = np.minimum(rows, len(TARGET) - 1)
        yield jnp.asarray(PREDICTED[rows]), {"target": TARGET[rows], "weight": weight}


@pytest.mark.parametrize("size", [1, 4, 23, 30])
@pytest.mark.parametrize(("ours", "theirs"), PAIRS)
def test_errors_equal_scikit_learns_for_any_batches(ours, theirs, size):
    means = [ours(predicted, batch) for predicted, batch in batches(size)]
    total, count = (sum(float(part) for part in parts) for parts in zip(*means, strict=True))
    assert total / count == pytest.approx(theirs(TARGET, PREDICTED), rel=1e-5)


@pytest.mark.parametrize("size", [1, 4, 23, 30])
def test_the_report_is_scikit_learns_in_the_units_of_the_data_for_any_batches(size):
    report = regression_report("height", mean=170.0, scale=10.0)
    parts = [report["gathered"]["prediction"](*batch) for batch in batches(size)]
    weight = np.concatenate([batch["weight"] for _, batch in batches(size)])
    values = {key: np.concatenate([np.asarray(p[key]) for p in parts]) for key in parts[0]}
    rows = Rows({key: array[weight > 0] for key, array in values.items()}, weight[weight > 0])
    found = report["summarize"]({"prediction": rows, "loss": Mean(3.0, 2.0)})
    target, predicted = 170 + 10 * TARGET.astype(float), 170 + 10 * PREDICTED.astype(float)
    assert found["rmse"] == pytest.approx(metrics.root_mean_squared_error(target, predicted))
    assert found["mae"] == pytest.approx(metrics.mean_absolute_error(target, predicted))
    assert found["r2"] == pytest.approx(metrics.r2_score(target, predicted))
    assert found["loss"] == 1.5
    assert found["predictions"]().dtype == np.uint8


def test_a_single_example_has_no_r2_and_is_no_error():
    values = {"predicted": np.zeros(1, np.float32), "target": np.zeros(1, np.float32)}
    rows = Rows(values, np.ones(1, np.float32))
    assert np.isnan(regression_report("y")["summarize"]({"prediction": rows})["r2"])


EVERY = RNG.normal(size=(4, 3)).astype(np.float32)
TARGETS = RNG.normal(size=(4, 3)).astype(np.float32)
WEIGHT = np.array([1, 1, 1, 0], np.float32)
WINDOWS = {"targets": TARGETS, "target": TARGETS[:, -1], "weight": WEIGHT}


@pytest.mark.parametrize("every", [True, False])
def test_the_error_over_time_is_the_mean_of_squares_without_padding(every):
    mean = squared_error(jnp.asarray(EVERY if every else EVERY[:, -1]), WINDOWS)
    squares = np.square(EVERY - TARGETS)[:3]
    expected = squares.mean() if every else squares[:, -1].mean()
    np.testing.assert_allclose(mean.total / mean.count, expected, rtol=1e-6)


@pytest.mark.parametrize("every", [True, False])
def test_the_report_is_on_the_last_step_in_the_units_of_the_series(every):
    report = forecast_report("spots", mean=10.0, scale=3.0)
    rows = report["gathered"]["prediction"](jnp.asarray(EVERY if every else EVERY[:, -1]), WINDOWS)
    np.testing.assert_array_equal(rows["predicted"], EVERY[:, -1])
    found = report["summarize"](
        {"loss": Mean(np.float64(1), np.float64(2)), "prediction": Rows(rows, WEIGHT)}
    )
    expected = 3 * np.sqrt(np.square(EVERY[:, -1] - TARGETS[:, -1]).mean())
    assert found["rmse"] == pytest.approx(expected, rel=1e-6)
    assert found["loss"] == 0.5
    assert found["forecast"]().dtype == np.uint8
