"""What the layers of a network read, seen or changed on the way, whatever the network is."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from bigmodel.experiment import Array


@contextmanager
def changed_inputs(change: Callable[[str, Array], Array]) -> Iterator[None]:
    """Within it, each layer with a kernel reads ``change(path, x)`` in the place of its input.

    The path is that of the layer among the parameters, ``blocks_0/attention/query``; inside of a
    loop over a stack of blocks it begins with the block.
    """

    def intercept(call: Any, arguments: Any, options: Any, context: Any) -> Any:
        module = context.module
        reads = arguments and isinstance(arguments[0], jax.Array)
        if context.method_name == "__call__" and reads and module.has_variable("params", "kernel"):
            x, *others = arguments
            if jnp.issubdtype(x.dtype, jnp.floating):
                arguments = (change("/".join(module.path), x), *others)
        return call(*arguments, **options)

    with nn.intercept_methods(intercept):
        yield
