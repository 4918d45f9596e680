"""A guard against compiling a step a second time without being asked."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax

from bigmodel.experiment import PyTree
from bigmodel.tree import named_leaves


class RetraceError(TypeError):
    """A compiled step was given arguments of other shapes than at first."""


def is_traced(values: PyTree) -> bool:
    """Whether JAX traces a function, and does not call it with arrays as its debuggers do."""
    return any(isinstance(leaf, jax.core.Tracer) for leaf in jax.tree.leaves(values))


def traced_once(function: Callable[..., Any], arguments: tuple[str, ...]) -> Callable[..., Any]:
    """The function, which raises RetraceError where JAX traces it a second time.

    The error names the first argument whose structure, shape or dtype has changed. JAX's
    debuggers call the function with arrays, which is not tracing.
    """
    first: list[dict[str, str]] = []

    def traced(*values: Any) -> Any:
        if not is_traced(values):
            return function(*values)
        named = dict(zip(arguments, values, strict=True))
        seen = {path: str(jax.typeof(leaf)) for path, leaf in named_leaves(named).items()}
        if first:
            changed = [
                f"{path} was {first[0].get(path, 'absent')} and is {seen.get(path, 'absent')}"
                for path in [*first[0], *seen]
                if first[0].get(path) != seen.get(path)
            ]
            what = changed[0] if changed else "its static structure differs"
            name = getattr(function, "__name__", "function")
            raise RetraceError(f"{name} would be compiled a second time: {what}")
        result = function(*values)
        first.append(seen)
        return result

    return traced
