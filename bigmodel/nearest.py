"""What a misspelt name was meant to be."""

from __future__ import annotations

import difflib
from collections.abc import Sequence


def nearest_option(name: str, known: Sequence[str]) -> str:
    """``did you mean model.width?`` and a space, or nothing where no name is near.

    Where no whole name is, the last part decides: ``--width`` means ``--model.width``.
    """
    near = difflib.get_close_matches(name, known, n=1, cutoff=0.5)
    if not near:
        last = name.rpartition(".")[2].removeprefix("--")
        near = difflib.get_close_matches(last, [name.rpartition(".")[2] for name in known], n=1)
        near = [name for name in known if near and name.endswith(near[0])][:1]
    return f"did you mean {near[0]}? " if near else ""
