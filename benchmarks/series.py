"""What simple forecasts of a series reach, on the values that ``experiments/rnn.py`` forecasts.

    python benchmarks/series.py [--horizon 1] [--window 48] [--path FILE --column NAME]

Two baselines: the last value of the window, and ridge regression on the same window
(scikit-learn), its penalty chosen on the validation part and then fitted to the training part.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

import numpy as np
import tyro
from jaxtyping import Float
from sklearn.linear_model import Ridge
from sklearn.metrics import root_mean_squared_error

from bigmodel.data.sequences.series import Series, SeriesData, load_series

PENALTIES = 10.0 ** np.arange(-3, 4.5, 0.5)

Windows = Float[np.ndarray, "window value"]


def part(series: Series, name: str) -> tuple[Windows, Float[np.ndarray, " window"]]:
    """The windows and targets of a split, without padding."""
    batches = list(series.data.splits[name])
    weight = np.concatenate([batch["weight"] for batch in batches]) > 0
    sequence = np.concatenate([batch["sequence"] for batch in batches])[weight, :, 0]
    return sequence, np.concatenate([batch["target"] for batch in batches])[weight]


def training(series: Series) -> tuple[Windows, Float[np.ndarray, " window"]]:
    """All training windows and targets: those of one epoch of batches of one."""
    batches = [series.data.train(0, step) for step in range(series.data.steps_per_epoch)]
    sequence = np.concatenate([batch["sequence"] for batch in batches])[..., 0]
    return sequence, np.concatenate([batch["target"] for batch in batches])


def baselines(options: SeriesData) -> Mapping[str, float]:
    """The root mean squared error on the test part, in the units of the series."""
    series = load_series(replace(options, batch_size=1))
    x, y = training(series)
    fitted = [Ridge(alpha=penalty).fit(x, y) for penalty in PENALTIES]
    held, held_targets = part(series, "validation")
    best = min(fitted, key=lambda m: root_mean_squared_error(held_targets, m.predict(held)))
    test, targets = part(series, "test")
    forecasts: dict[str, Callable[[Windows], np.ndarray]] = {
        "last value": lambda windows: windows[:, -1],
        f"ridge, penalty {best.alpha:g}": best.predict,
    }
    return {
        name: series.reader.scale * root_mean_squared_error(targets, forecast(test))
        for name, forecast in forecasts.items()
    }


def read_options(arguments: Sequence[str]) -> SeriesData:
    """The options of the benchmark."""
    return tyro.cli(SeriesData, args=arguments)


if __name__ == "__main__":
    for name, error in baselines(read_options(sys.argv[1:])).items():
        print(f"{name:24} test/rmse {error:.3f}")
