"""A Linen module as the contract's :class:`~bigmodel.experiment.Model`."""

from __future__ import annotations

from typing import Any

import flax.linen as nn
import jax.numpy as jnp

from bigmodel.experiment import Array, Batch, Key, Model, PyTree, Rules, Variables
from bigmodel.tree import widened


def model(
    module: nn.Module,
    *,
    inputs: str | tuple[str, ...] = "image",
    partition: Rules,
    method: str | None = None,
) -> Model:
    """Wrap a module that is called as ``module(x, train=bool)``, with an ``x`` for each input.

    Args:
        module: The module. Its random numbers come from the stream ``dropout``.
        inputs: The name of the array in the batch that the module reads, or of several.
        partition: Rules that cover every parameter of the module.
        method: The method that ``apply`` calls, ``__call__`` unless told. ``init`` always
            makes the variables of the whole module, so that models which differ in the
            method alone share their parameters.

    Returns:
        The model. Collections other than ``params`` change, in training only. Variables in
        bfloat16 are read as float32; the module's own options say in what it computes.
    """
    names = (inputs,) if isinstance(inputs, str) else inputs

    def arrays_of(batch: Batch) -> list[Array]:
        return [jnp.asarray(batch[name]) for name in names]

    def init(key: Key, batch: Batch) -> Variables:
        return module.init({"params": key}, *arrays_of(batch), train=False)

    def apply(
        variables: Variables, batch: Batch, *, train: bool, key: Key | None = None
    ) -> tuple[PyTree, Variables]:
        options: dict[str, Any] = {"train": train, "method": method}
        variables, arrays = widened(variables), arrays_of(batch)
        if key is not None:
            options["rngs"] = {"dropout": key}
        mutable = [name for name in variables if name != "params"] if train else []
        if not mutable:
            return module.apply(variables, *arrays, **options), {}
        return module.apply(variables, *arrays, mutable=mutable, **options)

    return Model(init, apply, partition)
