import jax.numpy as jnp
import numpy as np
import pytest
from bigmodel.training.forecast import forecast_error, forecasts

from bigmodel.experiment import Mean, Rows

RNG = np.random.default_rng(0)
EVERY = RNG.normal(size=(4, 3)).astype(np.float32)
TARGETS = RNG.normal(size=(4, 3)).astype(np.float32)
WEIGHT = np.array([1, 1, 1, 0], np.float32)
BATCH = {"targets": TARGETS, "target": TARGETS[:, -1], "weight": WEIGHT}


@pytest.mark.parametrize("every", [True, False])
def test_the_error_is_the_mean_of_squares_without_padding(every):
    mean = forecast_error(jnp.asarray(EVERY if every else EVERY[:, -1]), BATCH)
    squares = np.square(EVERY - TARGETS)[:3]
    expected = squares.mean() if every else squares[:, -1].mean()
    np.testing.assert_allclose(mean.total / mean.count, expected, rtol=1e-6)


@pytest.mark.parametrize("every", [True, False])
def test_the_report_is_on_the_last_step_in_the_units_of_the_series(every):
    report = forecasts("spots", mean=10.0, scale=3.0)
    rows = report["gathered"]["prediction"](jnp.asarray(EVERY if every else EVERY[:, -1]), BATCH)
    np.testing.assert_array_equal(rows["predicted"], EVERY[:, -1])
    found = report["summarize"](
        {"loss": Mean(np.float64(1), np.float64(2)), "prediction": Rows(rows, WEIGHT)}
    )
    expected = 3 * np.sqrt(np.square(EVERY[:, -1] - TARGETS[:, -1]).mean())
    assert found["rmse"] == pytest.approx(expected, rel=1e-6)
    assert found["loss"] == 0.5
    assert found["forecast"]().dtype == np.uint8
