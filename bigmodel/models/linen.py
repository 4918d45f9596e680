"""A Linen module as the contract's :class:`~bigmodel.experiment.Model`."""

from __future__ import annotations

from typing import Any

import flax.linen as nn

from bigmodel.experiment import Batch, Key, Model, PyTree, Rules, Variables


def model(
    module: nn.Module, *, inputs: str = "image", partition: Rules, method: str | None = None
) -> Model:
    """Wrap a module that is called as ``module(x, train=bool)``.

    Args:
        module: The module. Its random numbers come from the stream ``dropout``.
        inputs: The name of the array in the batch that the module reads.
        partition: Rules that cover every parameter of the module.
        method: The method that ``apply`` calls, ``__call__`` unless told. ``init`` always
            makes the variables of the whole module, so that models which differ in the
            method alone share their parameters.

    Returns:
        The model. Collections other than ``params`` change in training only.
    """

    def init(key: Key, batch: Batch) -> Variables:
        return module.init({"params": key}, batch[inputs], train=False)

    def apply(
        variables: Variables, batch: Batch, *, train: bool, key: Key | None = None
    ) -> tuple[PyTree, Variables]:
        options: dict[str, Any] = {"train": train, "method": method}
        if key is not None:
            options["rngs"] = {"dropout": key}
        mutable = [name for name in variables if name != "params"] if train else []
        if not mutable:
            return module.apply(variables, batch[inputs], **options), {}
        return module.apply(variables, batch[inputs], mutable=mutable, **options)

    return Model(init, apply, partition)
