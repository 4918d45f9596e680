"""Groups measured, and compared with each other."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from jaxtyping import Int

from bigmodel.analysis.estimates import DRAWS, Estimate, draws_of, resampled, share
from bigmodel.analysis.fairness.grouping import Groups
from bigmodel.analysis.fairness.rates import (
    FALSE_POSITIVE,
    SELECTION,
    TRUE_POSITIVE,
    Measures,
    Share,
)


class Difference(NamedTuple):
    """The groups with the least and the greatest value of a metric.

    ``difference`` is that of the two values and ``ratio`` the least by the greatest, NaN where a
    value is negative or both are 0. ``p`` is the share of random groupings, of the same sizes, in
    which the least and the greatest differ at least as much. ``groups`` were compared.
    """

    difference: float
    ratio: float
    least: str
    greatest: str
    p: float
    groups: int


@dataclass(frozen=True)
class Comparison:
    """Metrics of all examples and of each group, in the order of the groups, and differences.

    Values of fewer than ``smallest`` examples are in no difference.
    """

    groups: Groups
    counts: Int[np.ndarray, " group"]
    overall: Mapping[str, Estimate]
    by_group: Mapping[str, Sequence[Estimate]]
    differences: Mapping[str, Difference]
    smallest: int


def compare(measures: Measures, groups: Groups, *, smallest: int, seed: int) -> Comparison:
    """Measures all groups; the seed decides what is drawn for intervals and p."""
    rng = np.random.default_rng(seed)
    count = len(groups.names)
    members = [np.flatnonzero(groups.number == at) for at in range(count)]
    overall = {name: share_of(one, slice(None)) for name, one in measures.shares.items()}
    by_group = {
        name: [share_of(one, rows) for rows in members] for name, one in measures.shares.items()
    }
    differences = differences_of_shares(measures.shares, groups, smallest=smallest, rng=rng)
    overall |= resampled(measures.others, np.arange(len(groups.number)), rng=rng)
    measured = [resampled(measures.others, rows, rng=rng) for rows in members]
    by_group |= {name: [of[name] for of in measured] for name in measured[0]}
    differences |= differences_of_others(measures, measured, members, groups, smallest, rng)
    sizes = np.array([len(rows) for rows in members])
    return Comparison(groups, sizes, overall, by_group, differences, smallest)


def share_of(one: Share, rows: np.ndarray | slice) -> Estimate:
    """A share of some rows."""
    among = one.among[rows]
    return share(int((one.hits[rows] & among).sum()), int(among.sum()))


def comparable(estimates: Sequence[Estimate], smallest: int) -> list[int]:
    """The numbers of the groups that have a value, of enough examples."""
    return [
        at
        for at, one in enumerate(estimates)
        if one.examples >= smallest and math.isfinite(one.value)
    ]


def differences_of_shares(
    shares: Mapping[str, Share], groups: Groups, *, smallest: int, rng: np.random.Generator
) -> dict[str, Difference]:
    """The differences of shares of which there are two groups to compare.

    In a random grouping the hits of each group are drawn without replacement from those of all.
    """
    found = {}
    for name, one in shares.items():
        rows = [groups.number == at for at in range(len(groups.names))]
        estimates = [share_of(one, some) for some in rows]
        chosen = comparable(estimates, smallest)
        if len(chosen) < 2:
            continue
        sizes = np.array([estimates[at].examples for at in chosen])
        hits = round(sum(estimates[at].value * estimates[at].examples for at in chosen))
        drawn = rng.multivariate_hypergeometric(sizes, hits, size=DRAWS, method="marginals")
        named = [groups.names[at] for at in chosen]
        found[name] = _difference([estimates[at] for at in chosen], named, drawn / sizes)
    return found


def differences_of_others(
    measures: Measures,
    measured: Sequence[Mapping[str, Estimate]],
    members: Sequence[Int[np.ndarray, " row"]],
    groups: Groups,
    smallest: int,
    rng: np.random.Generator,
) -> dict[str, Difference]:
    """The differences of what is no share; a random grouping deals the rows out anew."""
    chosen = [at for at, rows in enumerate(members) if len(rows) >= smallest]
    if len(chosen) < 2:
        return {}
    rows = np.concatenate([members[at] for at in chosen])
    ends = np.cumsum([len(members[at]) for at in chosen])[:-1]
    drawn: dict[str, list[list[float]]] = {name: [] for name in measured[0]}
    for _ in range(draws_of(len(rows))):
        dealt = [measures.others(some) for some in np.split(rng.permutation(rows), ends)]
        for name, found in drawn.items():
            found.append([of[name] for of in dealt])
    differences = {}
    for name, found in drawn.items():
        kept = [at for at in chosen if math.isfinite(measured[at][name].value)]
        columns = [chosen.index(at) for at in kept]
        estimates = [measured[at][name] for at in kept]
        if len(kept) > 1:
            names = [groups.names[at] for at in kept]
            differences[name] = _difference(estimates, names, np.array(found)[:, columns])
    return differences


def _difference(
    estimates: Sequence[Estimate], names: Sequence[str], drawn: np.ndarray
) -> Difference:
    values = np.array([one.value for one in estimates])
    least, greatest = int(values.argmin()), int(values.argmax())
    low, high = float(values[least]), float(values[greatest])
    spread = np.ptp(drawn, axis=1)
    # Rounding must not make equal differences smaller; a draw without a value is as large as any.
    as_large = int((~(spread < (high - low) * (1 - 1e-9))).sum())
    ratio = low / high if low >= 0 and high > 0 else math.nan
    p = (1 + as_large) / (1 + len(drawn))
    return Difference(high - low, ratio, names[least], names[greatest], p, len(names))


def criteria(differences: Mapping[str, Difference]) -> dict[str, tuple[float, float]]:
    """The difference and the ratio of each criterion of fairness whose rates were compared.

    Demographic parity is equal selection rates, equal opportunity equal true positive rates
    (Hardt et al., 2016), and equalized odds equal true and false positive rates: of the two the
    one that is further from equal counts.
    """
    named = {
        "demographic parity": (SELECTION,),
        "equal opportunity": (TRUE_POSITIVE,),
        "equalized odds": (TRUE_POSITIVE, FALSE_POSITIVE),
    }
    found = {}
    for criterion, rates in named.items():
        if all(name in differences for name in rates):
            some = [differences[name] for name in rates]
            ratios = [one.ratio for one in some if not math.isnan(one.ratio)]
            worst = max(one.difference for one in some)
            found[criterion] = worst, min(ratios, default=math.nan)
    return found
