"""What noise a privacy budget asks for, and what of the budget is spent: by ``dp-accounting``.

A step draws each example with the same chance and adds Gaussian noise to the sum of their clipped
gradients. The distribution of the privacy loss of all steps is the convolution of theirs (Koskela
et al., 2020; Doroshenko et al., 2022), whose epsilon is closer to the truth than that by Rényi
divergences. The relation is that of data sets with and without one example.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import cache
from types import ModuleType
from typing import Any, NamedTuple

from bigmodel.experiment import InputError
from bigmodel.training.privacy.options import Privacy

RESERVE = 1e-6
"""The part of delta that is for batches with more examples than they have rows for."""
DIGITS = 1000
"""Noise multipliers are multiples of 1 over this, so that no last bits decide a run."""
LEAST, MOST = 300, 10_000
"""The least noise in these units, below which little is protected and the account is slow, and the
largest multiplier."""
FINE, COARSE = 1e-4, 1e-3
"""Intervals by which losses are told apart: the accountant's own, and a quick one, which is a share
of epsilon above 1."""


class Mechanism(NamedTuple):
    """What is done to protect the examples, and what it comes to.

    The noise of a step has a standard deviation of ``noise_multiplier * clip``. A batch has so many
    ``rows``, of which ``part`` are worked through at a time; ``data`` is the data's fingerprint.
    """

    epsilon: float
    delta: float
    clip: float
    noise_multiplier: float
    sampling_rate: float
    examples: int
    steps: int
    rows: int
    part: int
    data: str = ""

    @property
    def filled(self) -> float:
        """The share of the rows of a batch that are no padding, on average."""
        return self.sampling_rate * self.examples / self.rows

    @property
    def parts(self) -> float:
        """The parts of a batch that are worked through, on average."""
        return self.filled * self.rows / self.part

    def spent(self, step: int) -> float:
        """The epsilon after so many steps, at the same delta."""
        return epsilon_after(step, self.noise_multiplier, self.sampling_rate, self.delta)

    def report(self, step: int) -> dict[str, float]:
        """What a summary says after so many steps: ``epsilon`` is that which is spent."""
        names = ("delta", "clip", "noise_multiplier", "sampling_rate", "examples")
        return {"epsilon": self.spent(step), **{name: getattr(self, name) for name in names}}


def mechanism(options: Privacy, *, examples: int, batch_size: int, steps: int) -> Mechanism:
    """The noise for so many steps, in each of which ``batch_size`` examples are expected.

    Raises:
        InputError: for a guarantee that is none, or that no noise gives; or the accountant is not
            installed.
    """
    assert options.epsilon is not None
    delta = 0.1 / examples if options.delta is None else options.delta
    if delta >= 1 / examples:
        raise InputError(
            f"--privacy.delta {delta:g} would allow to publish one of the {examples} examples as "
            f"it is; use less than {1 / examples:.1g}, by default {0.1 / examples:.1g}"
        )
    if batch_size > examples:
        raise InputError(
            f"--data.batch-size {batch_size} is larger than the training data: {examples} examples"
        )
    rate = batch_size / examples
    noise = noise_multiplier(options.epsilon, delta, rate, steps)
    # Leaving surplus examples out changes chances by no more than that of a surplus, under either
    # of two data sets: it adds (1 + e^epsilon) times that to delta.
    chance = RESERVE * delta / (1 + math.exp(min(options.epsilon, 100.0))) / steps
    size = rows_for(examples, rate, chance, multiple=options.microbatch)
    return Mechanism(
        options.epsilon,
        delta,
        options.clip,
        noise,
        rate,
        examples,
        steps,
        size,
        options.microbatch,
    )


def rows_for(examples: int, rate: float, chance: float, *, multiple: int) -> int:
    """The smallest multiple that the number of examples drawn exceeds by a smaller chance."""
    from scipy.stats import binom

    size = multiple * max(1, math.floor(examples * rate / multiple))
    while size < examples and binom.sf(size, examples, rate) > chance:
        size += multiple
    return size


def epsilon_after(
    steps: int, noise: float, rate: float, delta: float, *, interval: float = FINE
) -> float:
    """The epsilon of so many steps, at the part of delta that is not reserved.

    Losses are rounded up to multiples of an interval.
    """
    if steps == 0:
        return 0.0
    loss = _loss_of_a_step(noise, rate, interval).self_compose(steps)
    return float(loss.get_epsilon_for_delta(delta * (1 - RESERVE)))


@cache
def noise_multiplier(epsilon: float, delta: float, rate: float, steps: int) -> float:
    """The least standard deviation of the noise, as a multiple of the clip, that a budget allows.

    Raises:
        InputError: there is none, or the accountant is not installed.
    """

    def is_enough(thousandths: int, interval: float) -> bool:
        noise = thousandths / DIGITS
        return epsilon_after(steps, noise, rate, delta, interval=interval) <= epsilon

    coarse, high = COARSE * max(1.0, epsilon), DIGITS
    while not is_enough(high, coarse):
        high *= 2
        if high > MOST * DIGITS:
            raise InputError(
                f"--privacy.epsilon {epsilon:g} with delta {delta:.2g} cannot be kept in {steps} "
                "steps; use fewer steps, a smaller batch or a larger epsilon"
            )
    first = _least(lambda noise: is_enough(noise, coarse), LEAST, high)
    # Coarser intervals ask for more noise, by a few percent at most.
    low = first - max(1, first // 16)

    def fine(thousandths: int) -> float:
        return epsilon_after(steps, thousandths / DIGITS, rate, delta)

    return _crossing(fine, epsilon, max(LEAST, low), first) / DIGITS


def _least(holds: Callable[[int], bool], low: int, high: int) -> int:
    """The least number that holds, from low to high, which does."""
    while low < high:
        middle = (low + high) // 2
        low, high = (low, middle) if holds(middle) else (middle + 1, high)
    return high


def _crossing(falling: Callable[[int], float], most: float, low: int, high: int) -> int:
    """The least number from low to high with a value of at most so much, as that of high.

    Each value takes seconds: the first few are looked for where a power of the number would cross.
    """
    known = {high: falling(high)}
    fails = low - 1
    while fails + 1 < high:
        guess = (fails + high + 1) // 2
        if len(known) < 8 and known[high] > 0:
            above = known.get(fails, math.inf)
            power = math.log(above / known[high], high / fails) if 0 < above < math.inf else 1.5
            guess = math.ceil(high * (known[high] / most) ** (1 / power)) if power else guess
        guess = min(max(guess, fails + 1), high - 1)
        known[guess] = falling(guess)
        if known[guess] <= most:
            high = guess
        else:
            fails = guess
    return high


@cache
def _loss_of_a_step(noise: float, rate: float, interval: float) -> Any:
    losses = _accounting().privacy_loss_distribution
    return losses.from_gaussian_mechanism(
        noise, sampling_prob=rate, value_discretization_interval=interval
    )


def _accounting() -> ModuleType:
    try:
        from dp_accounting import pld
    except ImportError:
        raise InputError(
            "--privacy.epsilon needs the package dp-accounting: pip install -e '.[privacy]'"
        ) from None
    return pld
