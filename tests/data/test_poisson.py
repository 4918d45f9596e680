import numpy as np
import pytest

from bigmodel.data.parts import data_of
from bigmodel.data.poisson import Poisson

COUNT, HOW = 500, Poisson(rate=0.1, size=96, part=16)


def test_each_example_is_drawn_by_a_chance_of_its_own() -> None:
    """Frequencies of examples, and of pairs of them, within five standard errors of the rates."""
    steps = 4000
    drawn = np.zeros((steps, COUNT), bool)
    for step in range(steps):
        numbers = HOW.numbers(COUNT, 3, step)
        found = numbers[numbers >= 0]
        assert len(set(found.tolist())) == len(found)
        drawn[step, found] = True
    for rate, seen in ((0.1, drawn), (0.01, drawn & np.roll(drawn, 1, axis=1))):
        error = np.sqrt(rate * (1 - rate) / steps)
        assert np.abs(seen.mean(axis=0) - rate).max() < 5 * error
    # Numbers drawn in a step are binomial, which those of batches of one size would not be.
    assert drawn.sum(axis=1).var() == pytest.approx(COUNT * 0.1 * 0.9, rel=0.15)


@pytest.mark.parametrize("devices", [1, 2, 8])
def test_padding_fills_the_last_parts_on_each_device(devices: int) -> None:
    real = HOW.numbers(COUNT, 0, 0) >= 0
    parts = HOW.size // HOW.part
    for rows in np.split(real, devices):
        counts = rows.reshape(-1, parts).sum(axis=0)
        full, rest = divmod(int(real.sum()), HOW.part)
        assert counts[:full].tolist() == [HOW.part // devices] * full
        assert counts[full + (rest > 0) :].sum() == 0


def test_rows_are_those_of_the_whole_batch_with_padding_of_weight_0() -> None:
    value = np.arange(COUNT, dtype=np.float32)
    parts = {"train": {"value": value}, "test": {"value": value[:0]}}
    train = data_of(parts, 50).sampled(HOW)
    whole = train(1, 7)
    halves = [train(1, 7, rows) for rows in (slice(0, 40), slice(40, None))]
    for name, array in whole.items():
        np.testing.assert_array_equal(array, np.concatenate([half[name] for half in halves]))
    numbers = HOW.numbers(COUNT, 1, 7)
    np.testing.assert_array_equal(whole["weight"], numbers >= 0)
    np.testing.assert_array_equal(whole["value"][numbers >= 0], value[numbers[numbers >= 0]])
    assert any((train(1, 8)[name] != array).any() for name, array in whole.items())


def test_a_surplus_is_left_out() -> None:
    numbers = Poisson(rate=0.9, size=16, part=16).numbers(COUNT, 0, 0)
    assert len(set(numbers.tolist())) == 16
    assert numbers.min() >= 0
