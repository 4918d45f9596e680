from pathlib import Path
from types import SimpleNamespace

import jax
import linear
import numpy as np
import pytest

from bigmodel.run_directory.history import read_metrics
from bigmodel.tracking.throughput import StepSize, batch_size, peak_flops, rates

TOKENS = StepSize("tokens", 100, 6e9)


def test_tokens_are_counted_where_there_are_any_else_examples() -> None:
    images = {"image": np.zeros((8, 28, 28)), "weight": np.ones(8)}
    text = {"tokens": np.zeros((8, 16)), "weight": np.ones((8, 16))}
    assert batch_size(images) == ("examples", 8)
    assert batch_size(text) == ("tokens", 128)


def test_mfu_is_the_share_of_the_peak_where_that_is_known() -> None:
    found = rates(TOKENS, steps_per_second=2.0, peak=48e9)
    assert found == {"tokens_per_second": 200, "model_flops_per_second": 12e9, "mfu": 0.25}
    assert "mfu" not in rates(TOKENS, steps_per_second=2.0, peak=None)


def test_accelerators_have_the_peak_of_the_table_each() -> None:
    chip = SimpleNamespace(platform="tpu", device_kind="TPU v5 lite")
    assert peak_flops([chip] * 4) == 4 * 197e12
    assert peak_flops([SimpleNamespace(platform="gpu", device_kind="Quadro K620")]) is None


def test_devices_of_a_cpu_share_what_a_product_reaches() -> None:
    one, eight = peak_flops(jax.devices()[:1]), peak_flops(jax.devices())
    assert one is not None
    assert one > 1e9
    assert eight == pytest.approx(one, rel=0.9)


def test_a_run_logs_how_fast_it_is(tmp_path: Path) -> None:
    assert linear.run(tmp_path, steps=20, eval_every=20, log_every=10) == 0
    lines = [one for one in read_metrics(tmp_path / "metrics.jsonl") if "mfu" in one]
    assert [line["step"] for line in lines] == [10, 20]
    for line in lines:
        speed = line["steps_per_second"]
        assert line["examples_per_second"] == pytest.approx(16 * speed, rel=1e-3)
        # The product of 16 rows of 8 features with 3 columns, and its gradient.
        flops = 2 * 2 * 16 * 8 * 3
        assert line["model_flops_per_second"] == pytest.approx(flops * speed, rel=1e-3)
