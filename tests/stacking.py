"""Parameters of blocks one by one as those of stacks of them."""

import re
from typing import Any

import jax
import jax.numpy as jnp


def stacked(params: Any) -> Any:
    """What was below ``blocks_0`` and ``blocks_1`` as arrays below ``blocks/stacked``."""
    found, layers = {}, {}
    for name, child in params.items():
        block = re.fullmatch(r"(blocks?|encoder|decoder)_\d+", name)
        if block:
            layers.setdefault(block[1], []).append(child)
        else:
            found[name] = stacked(child) if isinstance(child, dict) else child
    for name, each in layers.items():
        found[name] = {"stacked": jax.tree.map(lambda *leaves: jnp.stack(leaves), *each)}
    return found
