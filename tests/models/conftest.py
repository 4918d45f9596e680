"""What a layer computes outside of a program is one program here, rather than one an operation."""

import functools
from collections.abc import Callable
from typing import Any

import flax.linen as nn
import jax
import numpy as np
import pytest


def in_one_program(method: Callable[..., Any]) -> Callable[..., Any]:
    """A method that compiles all that it does with its arrays at once, unless others do."""

    @functools.wraps(method)
    def called(self: nn.Module, *arguments: Any, **options: Any) -> Any:
        leaves, tree = jax.tree.flatten((arguments, options))
        places = [n for n, leaf in enumerate(leaves) if isinstance(leaf, jax.Array | np.ndarray)]
        if any(isinstance(leaf, jax.core.Tracer) for leaf in leaves):
            return method(self, *arguments, **options)

        def program(arrays: list[Any]) -> Any:
            given = list(leaves)
            for place, array in zip(places, arrays, strict=True):
                given[place] = array
            words, named = jax.tree.unflatten(tree, given)
            return method(self, *words, **named)

        return jax.jit(program)([leaves[place] for place in places])

    return called


@pytest.fixture(autouse=True)
def few_programs(monkeypatch: pytest.MonkeyPatch) -> None:
    """Lets layers compute at once, which takes a fraction of the time to compile."""
    for name in ("init", "apply"):
        monkeypatch.setattr(nn.Module, name, in_one_program(getattr(nn.Module, name)))
