"""Training that knows of the bits that parameters will have (Jacob et al., 2018)."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any, Literal

import jax

from bigmodel.experiment import Batch, InputError, Model, PyTree, Variables
from bigmodel.frozen import merged
from bigmodel.quantized import becomes_smaller, is_stored, on_grid
from bigmodel.tree import path_of


@dataclass(frozen=True)
class Quantization:
    """How many bits kernels and embeddings have while they are trained."""

    weights: Literal["float32", "int8", "int4"] = "float32"
    """int8, int4: the network reads them rounded, a scale for each channel, and gradients pass as
    if they were not; launch.py compress --to the same then changes nothing"""
    keep: tuple[str, ...] = ()
    """path patterns of the parameters that are not rounded, such as head"""

    def __post_init__(self) -> None:
        """Raises InputError for what is no pattern."""
        check_patterns("--quantization.keep", self.keep)


def check_patterns(option: str, patterns: tuple[str, ...]) -> None:
    """Raises InputError for a pattern that is no regular expression."""
    for pattern in patterns:
        try:
            re.compile(pattern)
        except (re.error, OverflowError) as error:
            raise InputError(f"{option} {pattern!r} is no regex: {error}") from None


def aware(model: Model, options: Quantization) -> Model:
    """The model, which reads its parameters as :func:`rounded` gives them.

    Training changes the parameters behind, which stay float32.
    """
    if options.weights == "float32":
        return model

    def apply(variables: Variables, batch: Batch, **others: Any) -> tuple[PyTree, Variables]:
        return model.apply(rounded(merged(variables), options), batch, **others)

    return model._replace(apply=apply)


def rounded(variables: Variables, options: Quantization) -> Variables:
    """The variables, whose kernels have values that few bits have too.

    Their gradient is that of the parameters themselves, straight through the rounding (Bengio et
    al., 2013). What is of few bits already stays as it is.
    """
    bits = options.weights
    if bits == "float32":
        return variables

    def one(key_path: Any, leaf: Any) -> Any:
        path = path_of(key_path)
        if is_stored(leaf) or not becomes_smaller(path, leaf, options.keep):
            return leaf
        whole, scale = on_grid(path, jax.lax.stop_gradient(leaf), bits)
        # The difference is 0, so that the values are those of the grid to the last bit.
        return whole * scale + (leaf - jax.lax.stop_gradient(leaf))

    params = jax.tree_util.tree_map_with_path(one, variables["params"], is_leaf=is_stored)
    return {**variables, "params": params}
