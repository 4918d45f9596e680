"""Metrics with intervals, and attacks, need nothing of a script but its experiment."""

from pathlib import Path

import numpy as np
import pytest
from test_contract import build, run, scripts

import bigmodel
from bigmodel.analysis.cards.metrics import metrics_with_intervals
from bigmodel.analysis.examples import example_losses
from bigmodel.analysis.membership.sampling import sampled, training_batches
from bigmodel.experiment import InputError
from bigmodel.inference.measuring import rebuilt

GENERATIVE = ("autoencoder", "diffusion", "gan")


# All are left to the matrix, for test_audit.py has what they hold of a table.
@scripts(())
def test_each_metric_has_an_interval_and_each_example_a_loss(script: Path, tmp_path: Path) -> None:
    assert run(build(script), tmp_path / "run", steps=2, eval_every=2) == 0
    one = bigmodel.load(tmp_path / "run", at="last")
    experiment = rebuilt(one)
    split = list(experiment.data.splits)[-1]
    found = metrics_with_intervals(one, experiment, split, seed=0)
    expected = {name: one.summary.get(f"{split}/{name}") for name in found}
    for name, estimate in found.items():
        if expected[name] is not None:
            assert estimate.value == pytest.approx(expected[name], rel=1e-4, abs=1e-6)
            assert estimate.low <= estimate.value <= estimate.high or np.isnan(estimate.low)
    assert any(np.isfinite(estimate.low) for estimate in found.values())
    some = sampled(training_batches(experiment, 0), 20, np.random.default_rng(0))
    if script.stem in GENERATIVE:
        with pytest.raises(InputError, match="have no 'generated', which its evaluation reads"):
            example_losses(one, experiment, some)
    elif script.stem == "clip":
        with pytest.raises(InputError, match="no loss of an example that is alone in its batch"):
            example_losses(one, experiment, some)
    else:
        assert np.isfinite(example_losses(one, experiment, some)).all()
