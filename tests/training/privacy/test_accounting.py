import math

import pytest
from scipy.stats import binom

from bigmodel.experiment import InputError
from bigmodel.training.privacy.accounting import (
    RESERVE,
    _crossing,
    epsilon_after,
    mechanism,
    noise_multiplier,
    rows_for,
)
from bigmodel.training.privacy.options import Privacy

accounting = pytest.importorskip("dp_accounting")
pld = pytest.importorskip("dp_accounting.pld")


@pytest.mark.parametrize(
    ("steps", "noise", "rate", "delta"), [(300, 1.36, 0.1, 1e-5), (40, 0.8, 1.0, 1e-4)]
)
def test_epsilon_is_that_of_the_accountant(
    steps: int, noise: float, rate: float, delta: float
) -> None:
    event = accounting.PoissonSampledDpEvent(rate, accounting.GaussianDpEvent(noise))
    expected = pld.PLDAccountant().compose(event, steps).get_epsilon(delta)
    assert epsilon_after(steps, noise, rate, delta) == pytest.approx(expected, rel=1e-5)
    assert epsilon_after(0, noise, rate, delta) == 0


def test_noise_is_the_least_that_keeps_the_budget() -> None:
    noise = noise_multiplier(3.0, 1e-5, 0.1, 100)
    spent, less = (epsilon_after(100, each, 0.1, 1e-5) for each in (noise, noise - 0.001))
    assert spent <= 3.0 < less


@pytest.mark.parametrize(
    "falling",
    [
        lambda n: 5e4 / n,
        lambda n: (1000 / n) ** 7,
        lambda n: math.exp(-n / 90),
        lambda n: float(n < 1234),
        lambda n: math.inf if n < 1100 else 0.1,
        lambda n: 0.0 * n,
    ],
)
@pytest.mark.parametrize("most", [0.5, 0.1, 40.0])
def test_the_least_number_is_found_in_few_goes(falling, most: float) -> None:
    low, high, asked = 1000, 4000, []

    def counted(number: int) -> float:
        asked.append(number)
        return falling(number)

    if falling(high) > most:
        high = next(n for n in range(high, 10**7, 1000) if falling(n) <= most)
    expected = next(n for n in range(low, high + 1) if falling(n) <= most)
    assert _crossing(counted, most, low, high) == expected
    assert len(asked) == len(set(asked)) < 24


def test_a_batch_with_too_few_rows_is_rarer_than_what_delta_keeps_for_it() -> None:
    how = mechanism(Privacy(epsilon=3.0, microbatch=16), examples=1300, batch_size=130, steps=100)
    assert how.rows % 16 == 0
    assert how.delta == pytest.approx(0.1 / 1300)
    surplus = 100 * binom.sf(how.rows, 1300, 0.1)
    assert surplus * (1 + 2.718281828**3) < RESERVE * how.delta
    assert rows_for(1300, 1.0, 0.0, multiple=16) == 1312


@pytest.mark.parametrize(
    ("options", "size", "words"),
    [
        (Privacy(epsilon=1.0, delta=0.01), 10, "allow to publish one of the 100 examples"),
        (Privacy(epsilon=1.0), 200, "larger than the training data: 100"),
        (Privacy(epsilon=1e-7), 100, "cannot be kept in 1000 steps"),
    ],
)
def test_a_guarantee_that_is_none_is_refused(options: Privacy, size: int, words: str) -> None:
    with pytest.raises(InputError, match=words):
        mechanism(options, examples=100, batch_size=size, steps=1000)


@pytest.mark.parametrize(
    "options", [{"epsilon": 0.0}, {"epsilon": 1.0, "delta": 1.0}, {"clip": 2.0}, {"microbatch": 0}]
)
def test_options_that_protect_nothing_are_refused(options: dict[str, float]) -> None:
    with pytest.raises(InputError, match=f"--privacy.({next(reversed(options))}|epsilon)"):
        Privacy(**options)
