"""The names of classes in a ``config.json``."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from bigmodel.experiment import InputError


def read(config: Mapping[str, Any]) -> tuple[str, ...]:
    """The names in the order of their numbers; two without names where the config has none.

    Raises:
        InputError: ``id2label`` is no object of names by the numbers from 0 on.
    """
    given = config.get("id2label")
    if given is None:
        count = config.get("num_labels", 2)
        given = {str(n): f"LABEL_{n}" for n in range(count)} if count in range(1, 10**6) else None
    numbers = {str(n) for n in range(len(given))} if isinstance(given, Mapping) else set()
    if (
        not numbers
        or set(given) != numbers
        or not all(type(each) is str for each in given.values())
    ):
        raise InputError("id2label in config.json is no object of names by numbers from 0 on")
    return tuple(given[str(n)] for n in range(len(given)))


def written(facts: Mapping[str, Any], count: int) -> dict[str, Any]:
    """What a config says of so many classes, by the fact ``labels`` where that is known."""
    names = facts.get("labels") or [f"LABEL_{n}" for n in range(count)]
    by_number = {str(n): name for n, name in enumerate(names)}
    return {"id2label": by_number, "label2id": {name: n for n, name in enumerate(names)}}
