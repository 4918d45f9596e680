"""Attacks that tell from a loss whether a network was trained on an example.

Yeom et al. (2018), "Privacy risk in machine learning: analyzing the connection to overfitting";
Watson et al. (2022), "On the importance of difficulty calibration in membership inference attacks";
Carlini et al. (2022), "Membership inference attacks from first principles", say why the true
positive rate at low false positive rates counts.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Int

from bigmodel.analysis.estimates import (
    NONE,
    Estimate,
    difference,
    draws_of,
    percentiles,
    share,
)
from bigmodel.analysis.fairness.rates import area

FALSE_POSITIVE_RATES = (0.001, 0.01, 0.1)
FEWEST = 3
"""Others that must be taken for members at such a rate, for less is known of it."""


class Attack(NamedTuple):
    """How well an attack tells members from others.

    ``advantage`` is the true less the false positive rate at the threshold that is best for it,
    ``area`` that under the ROC curve, ``rates`` are true positive rates by false positive rate.
    """

    name: str
    advantage: Estimate
    area: Estimate
    rates: dict[float, Estimate]


def attack(
    name: str,
    members: Float[np.ndarray, " member"],
    others: Float[np.ndarray, " other"],
    *,
    rng: np.random.Generator,
) -> Attack:
    """Attacks by scores, of which a greater one means a member.

    The intervals of the area and of the rates are percentiles of bootstrap samples of members and
    others.
    """
    curve = [_curve(members, others)]
    for _ in range(draws_of(len(members) + len(others))):
        curve.append(_curve(_again(members, rng), _again(others, rng)))
    found = [
        Estimate(float(column[0]), *percentiles(column[1:].tolist()), len(others))
        if math.isfinite(column[0])
        else NONE
        for column in np.array(curve).T
    ]
    rates = dict(zip(FALSE_POSITIVE_RATES, found[1:], strict=True))
    return Attack(name, advantage(members, others, rng=rng), found[0], rates)


def advantage(
    members: Float[np.ndarray, " member"],
    others: Float[np.ndarray, " other"],
    *,
    rng: np.random.Generator,
) -> Estimate:
    """The true less the false positive rate, with the interval of a difference of two shares.

    The threshold is chosen on one half of the examples and judged on the other, and the other way
    round: chosen on the examples that it is judged by, it would have an advantage where there is
    none.
    """
    scores = np.concatenate([members, others])
    member = np.arange(len(scores)) < len(members)
    half = np.empty(len(scores), bool)
    for kind in (member, ~member):
        rows = rng.permutation(np.flatnonzero(kind))
        half[rows] = np.arange(len(rows)) < len(rows) // 2
    taken = np.empty(len(scores), bool)
    for judged in (half, ~half):
        taken[judged] = scores[judged] >= best_threshold(scores[~judged], member[~judged])
    true = share(int((taken & member).sum()), len(members))
    return difference(true, share(int((taken & ~member).sum()), len(others)))


def best_threshold(
    scores: Float[np.ndarray, " example"], member: Bool[np.ndarray, " example"]
) -> float:
    """The score from which on to say ``member``, for the greatest true less false positive rate."""
    order = np.argsort(-scores, kind="stable")
    sign = np.where(member, 1 / member.sum(), -1 / (~member).sum())[order]
    advantage = np.cumsum(sign)
    # Of equal scores all are taken or none.
    last = np.append(scores[order][1:] != scores[order][:-1], True)
    best = int(np.where(last, advantage, -np.inf).argmax())
    return float(scores[order][best])


def roc_curve(
    members: Float[np.ndarray, " member"], others: Float[np.ndarray, " other"]
) -> tuple[Float[np.ndarray, " point"], Float[np.ndarray, " point"]]:
    """False and true positive rates at all thresholds, from the strictest on."""
    thresholds = np.unique(np.concatenate([members, others]))[::-1]
    rates = [
        1 - np.searchsorted(np.sort(scores), thresholds, side="left") / len(scores)
        for scores in (others, members)
    ]
    return np.append(0.0, rates[0]), np.append(0.0, rates[1])


def _curve(members: np.ndarray, others: np.ndarray) -> list[float]:
    """The area, and the true positive rates at the false ones."""
    scores = np.concatenate([members, others])
    found = [area(scores, np.arange(len(scores)) < len(members))]
    falling = np.sort(others)[::-1]
    for rate in FALSE_POSITIVE_RATES:
        allowed = math.floor(rate * len(others) + 1e-9)
        # Above the first that may not be taken, so that no more than so many are.
        value = float((members > falling[allowed]).mean()) if allowed >= FEWEST else math.nan
        found.append(value)
    return found


def _again(values: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    rows: Int[np.ndarray, " row"] = rng.integers(0, len(values), len(values))
    return values[rows]


def largest_advantage(epsilon: float, delta: float) -> float:
    """What no attack exceeds on a network that was trained with differential privacy.

    ``(exp(epsilon) - 1 + 2 delta) / (exp(epsilon) + 1)`` (Humphries et al., 2023, after Kairouz et
    al., 2015), for members and others that are independent and equally frequent.
    """
    by_epsilon = math.tanh(epsilon / 2)
    return by_epsilon + delta * (1 - by_epsilon)
