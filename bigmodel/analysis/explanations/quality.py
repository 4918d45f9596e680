"""Whether an explanation is worth anything, by numbers.

Units of an input are taken away in the order of an explanation, or put back in this order, and the
areas under the curves of the output compared with those of random orders (Petsiuk et al., 2018).
Randomised weights ought to change an explanation (Adebayo et al., 2018).
"""

from __future__ import annotations

import warnings
from typing import NamedTuple

import numpy as np
from jaxtyping import Float
from scipy.stats import spearmanr

from bigmodel.experiment import Variables
from bigmodel.inference.explanation.explaining import Explanation, explain
from bigmodel.inference.explanation.network import Read
from bigmodel.training.ensemble import MEMBERS
from bigmodel.tree import named_leaves, nested

POINTS, ORDERS, GROUPS = 20, 10, 5


class Curves(NamedTuple):
    """The probability of what is explained, or its number, as units are taken away or put in.

    ``random`` are the deletions in random orders. Backwards each is an insertion in one.
    """

    shares: Float[np.ndarray, " point"]
    deletion: Float[np.ndarray, " point"]
    insertion: Float[np.ndarray, " point"]
    random: Float[np.ndarray, "order point"]

    def areas(self) -> tuple[float, float, float]:
        """The areas of deletion, of insertion, and the mean of those at random."""
        found = (np.trapezoid(curve, self.shares, axis=-1) for curve in self[1:])
        deletion, insertion, random = found
        return float(deletion), float(insertion), float(np.mean(random))


def curves(found: Explanation, variables: Variables, *, seed: int = 0) -> Curves:
    """The curves of an explanation, and those of ``ORDERS`` random orders.

    Each unit that is away is at the baseline of the explanation. Units that are equal go in the
    order in which the input has them.
    """
    count = found.units.size
    shares = np.linspace(0, 1, min(count, POINTS) + 1)
    taken = np.rint(shares * count).astype(int)
    order = np.argsort(-found.values.ravel(), kind="stable")
    rng = np.random.default_rng(seed)
    orders = [order, order[::-1], *(rng.permutation(count) for _ in range(ORDERS))]
    ranks = np.argsort(orders, axis=1)
    masks = (ranks[:, None, :] >= taken[None, :, None]).astype(np.float32)
    scores = found.question.scores(variables, masks.reshape(-1, count))
    output = scores[:, 0] if found.probability is None else np.exp(scores[:, 1])
    deletion, insertion, *random = output.reshape(len(orders), -1)
    return Curves(shares, deletion, insertion[::-1], np.array(random))


def sanity(found: Explanation, variables: Variables, *, seed: int = 0) -> dict[str, float]:
    """How alike an explanation stays while the weights are randomised from the output down.

    Returns:
        By the name of the layer down to which each array's weights are in a random order, the rank
        correlation of the units' numbers with those of the trained weights, with their signs: sizes
        alone would be alike wherever an input is at the baseline. The last one is of all weights.
    """
    rng = np.random.default_rng(seed)
    alike: dict[str, float] = {}
    mixed = named_leaves(variables["params"])
    for name, paths in groups(found.question.read, list(mixed)).items():
        for path in paths:
            leaf = np.asarray(mixed[path])
            mixed[path] = leaf.ravel()[rng.permutation(leaf.size)].reshape(leaf.shape)
        other = explain(found.question, {**variables, "params": nested(mixed)}, found.how)
        alike[name] = rank_correlation(found.values, other.values)
    return alike


def groups(read: Read, paths: list[str]) -> dict[str, list[str]]:
    """Parameters in at most ``GROUPS`` groups from the output down, by the last layer of each.

    Those of which it is not known when they are used come last.
    """
    order = {layer: number for number, layer in enumerate(read.layers)}
    modules: dict[str, list[str]] = {}
    for path in paths:
        module = path.removeprefix(f"{MEMBERS}/").rpartition("/")[0]
        modules.setdefault(module, []).append(path)
    falling = sorted(modules, key=lambda module: -order.get(module, -1))
    parts = np.array_split(np.arange(len(falling)), min(GROUPS, len(falling)))
    return {
        falling[part[-1]]: [path for index in part for path in modules[falling[index]]]
        for part in parts
    }


def rank_correlation(one: np.ndarray, other: np.ndarray) -> float:
    """Spearman's; 0 where one of them is constant, for it then says nothing."""
    with warnings.catch_warnings(action="ignore"):
        found = float(spearmanr(one.ravel(), other.ravel()).statistic)
    return 0.0 if np.isnan(found) else found


class Quality(NamedTuple):
    """What several explanations are worth together."""

    curves: list[Curves]
    alike: list[dict[str, float]]

    def better(self) -> tuple[int, int]:
        """How many deletions, and insertions, are better than the mean of random orders."""
        areas = [each.areas() for each in self.curves]
        return sum(a < c for a, _, c in areas), sum(b > c for _, b, c in areas)

    def areas(self) -> tuple[float, float, float]:
        """The mean areas of deletion, insertion, and random orders."""
        deletion, insertion, random = np.mean([each.areas() for each in self.curves], axis=0)
        return float(deletion), float(insertion), float(random)

    def likeness(self) -> dict[str, float]:
        """The mean rank correlations."""
        return {name: float(np.mean([of[name] for of in self.alike])) for name in self.alike[0]}
