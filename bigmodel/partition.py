"""The rule that a parameter's path finds."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from bigmodel.experiment import Rules

if TYPE_CHECKING:
    from jax.sharding import PartitionSpec


def spec_of(rules: Rules, path: str, axes: int) -> PartitionSpec | None:
    """The spec of the first rule that is found in the path and has no more axes than the leaf."""
    for pattern, spec in rules:
        if len(spec) <= axes and re.search(pattern, path):
            return spec
    return None


def rules_below(name: str, rules: Rules, *axes: str | None) -> Rules:
    """The rules for parameters that are below a path's component, and have more leading axes.

    Those of a batch stay as they are.
    """
    # Rules bring JAX with them, which readers of run directories start without.
    from jax.sharding import PartitionSpec

    return [
        (pattern, spec)
        if pattern.startswith("^batch/")
        else (
            rf"(^|/){name}/" + (pattern[1:] if pattern.startswith("^") else rf".*({pattern})"),
            PartitionSpec(*axes, *spec),
        )
        for pattern, spec in rules
    ]


def batch_rules(rules: Rules) -> Rules:
    """The rules that are about arrays of a batch and not about parameters."""
    return [(pattern, spec) for pattern, spec in rules if pattern.startswith("^batch/")]
