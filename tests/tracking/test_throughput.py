import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import jax
import linear
import numpy as np
import pytest

from bigmodel.experiment import WHOLE, Batch
from bigmodel.run_directory.history import read_metrics
from bigmodel.tracking import throughput
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
    # Nobody uses more than all of it.
    assert "mfu" not in rates(TOKENS, steps_per_second=2.0, peak=11e9)


def test_accelerators_have_the_peak_of_the_table_each() -> None:
    chip = SimpleNamespace(platform="tpu", device_kind="TPU v5 lite")
    assert peak_flops([chip] * 4) == 4 * 197e12
    assert peak_flops([SimpleNamespace(platform="gpu", device_kind="Quadro K620")]) is None


def test_devices_of_a_cpu_share_what_a_product_reaches() -> None:
    one, eight = peak_flops(jax.devices()[:1]), peak_flops(jax.devices())
    assert one is not None
    assert one > 1e9
    assert eight == pytest.approx(one, rel=0.9)


def test_what_is_waited_for_data_is_its_share_of_the_time_without_pauses(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    now = [0.0]
    monkeypatch.setattr(throughput.time, "perf_counter", lambda: now[0])
    timer = throughput.Timer(0, 0.0, lambda: (TOKENS, None))

    def spend(seconds: float) -> None:
        now[0] += seconds

    assert timer.speeds(1) == {}
    with timer.waiting():
        spend(1.0)
    with timer.paused():
        spend(10.0)
    spend(3.0)
    found = timer.speeds(9)
    assert (found["steps_per_second"], found["input_wait"]) == (2.0, 0.25)
    spend(1.0)
    assert timer.speeds(10)["input_wait"] == 0.0


@pytest.mark.parametrize(
    ("of_data", "of_step", "low", "high"), [(0.05, 0.0, 0.8, 1.0), (0.0, 0.05, 0.0, 0.2)]
)
def test_a_run_that_has_to_wait_for_data_says_so(
    of_data: float,
    of_step: float,
    low: float,
    high: float,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    built = linear.experiment()

    def train(seed: int, step: int, rows: slice = WHOLE) -> Batch:
        time.sleep(of_data)
        return built.data.train(seed, step, rows)

    def slept() -> np.ndarray:
        time.sleep(of_step)
        return np.zeros((), np.float32)

    def train_step(state: Any, batch: Batch, key: jax.Array) -> Any:
        zero = jax.pure_callback(slept, jax.ShapeDtypeStruct((), np.float32))
        return built.train_step(state, {**batch, "image": batch["image"] + zero}, key)

    one = linear.with_data(built._replace(train_step=train_step), train=train)
    options = {"steps": 40, "eval_every": 40, "log_every": 20, "steps_per_call": 1}
    assert linear.run(tmp_path, one=one, **options) == 0
    (line,) = [one for one in read_metrics(tmp_path / "metrics.jsonl") if "mfu" in one][-1:]
    assert low <= line["input_wait"] <= high
    assert f"input wait {line['input_wait']:.0%}" in capsys.readouterr().out


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
