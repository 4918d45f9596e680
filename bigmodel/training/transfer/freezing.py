"""Models of which a part is trained."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from bigmodel.experiment import Batch, InputError, Key, Model, PyTree, Variables
from bigmodel.frozen import divided, merged
from bigmodel.tree import named_leaves


def matches(patterns: Sequence[str], path: str) -> bool:
    """Whether one of the patterns is found in a path."""
    return any(re.search(pattern, path) for pattern in patterns)


def freezing(model: Model, patterns: Sequence[str]) -> Model:
    """The model, in which parameters whose path a pattern finds keep their initial values.

    They are in the collection ``frozen`` of its variables. Without patterns it is the given one.
    Its ``init`` raises InputError for a pattern that finds nothing, and where all is frozen.
    """
    if not patterns:
        return model

    def init(key: Key, batch: Batch) -> Variables:
        variables = model.init(key, batch)
        params = named_leaves(variables["params"])
        for pattern in patterns:
            if not any(matches([pattern], path) for path in params):
                raise InputError(
                    f"--optimizer.freeze {pattern} finds no parameter; there are {few([*params])}"
                )
        frozen = [path for path in params if matches(patterns, path)]
        if len(frozen) == len(params):
            raise InputError(f"--optimizer.freeze {' '.join(patterns)} leaves nothing to train")
        return divided(variables, frozen)

    return merging(model)._replace(init=init)


def merging(model: Model) -> Model:
    """The model, whose ``apply`` also takes variables of which a part is frozen."""

    def apply(variables: Variables, batch: Batch, **options: Any) -> tuple[PyTree, Variables]:
        return model.apply(merged(variables), batch, **options)

    return model._replace(apply=apply)


def few(paths: Sequence[str], most: int = 3) -> str:
    """The first of some paths, and how many others there are."""
    others = f" and {len(paths) - most} others" if len(paths) > most else ""
    return ", ".join(paths[:most]) + others
