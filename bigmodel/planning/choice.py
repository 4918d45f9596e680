"""Values of some options of a config, which a search may change."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeAlias

Choice: TypeAlias = Mapping[str, Any]
"""Values of options, by their paths in a config: ``mesh.fsdp``, ``data.batch_size``."""


def first_choice(config: Any, devices: int) -> Choice:
    """The values of a config itself, of those options that it has."""
    choice: dict[str, Any] = {"mesh.data": None, "mesh.fsdp": min(config.mesh.fsdp, devices)}
    for path in ("mesh.tensor", "data.batch_size", "model.remat"):
        part, _, name = path.partition(".")
        if hasattr(getattr(config, part, None), name):
            choice[path] = getattr(getattr(config, part), name)
    return choice


def as_options(choice: Choice) -> str:
    """A choice as a user types it."""
    words = []
    for path, value in choice.items():
        part, _, name = path.replace("_", "-").partition(".")
        if isinstance(value, bool):
            words.append(f"--{part}.{'' if value else 'no-'}{name}")
        elif value is not None:
            words.append(f"--{part}.{name} {value}")
    return " ".join(words)
