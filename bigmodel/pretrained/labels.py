"""The names of classes in a ``config.json``."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from bigmodel.experiment import InputError
from bigmodel.pretrained.config_file import inner


def read(config: Mapping[str, Any]) -> tuple[str, ...]:
    """The names in the order of their numbers; two without names where the config has none.

    Raises:
        InputError: ``id2label`` is no object of names by the numbers from 0 on, or two are equal.
    """
    given = inner(config, "id2label") or {"0": "LABEL_0", "1": "LABEL_1"}
    names = [given.get(str(n)) for n in range(len(given))]
    if not all(isinstance(name, str) for name in names):
        raise InputError("id2label in config.json is no object of names by numbers from 0 on")
    if twice := [name for name in names if names.count(name) > 1]:
        raise InputError(
            f"id2label in config.json has {str(twice[0])[:40]!r} more than once; give each class a "
            "name of its own"
        )
    return tuple(map(str, names))


def written(facts: Mapping[str, Any], count: int) -> dict[str, Any]:
    """What a config says of so many classes, by the fact ``labels`` where that is known."""
    names = facts.get("labels") or [f"LABEL_{n}" for n in range(count)]
    by_number = {str(n): name for n, name in enumerate(names)}
    return {"id2label": by_number, "label2id": {name: n for n, name in enumerate(names)}}
