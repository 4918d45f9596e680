"""Training that begins with pre-trained parameters."""

from __future__ import annotations

from collections.abc import Mapping

import jax.numpy as jnp
import numpy as np

from bigmodel.experiment import Array, Batch, InputError, Key, Model, Variables
from bigmodel.tree import map_named, named_leaves


def with_pretrained(model: Model, pretrained: Mapping[str, np.ndarray], *, under: str) -> Model:
    """The model, some of whose initial parameters are those of another one.

    Args:
        model: The model; its other parameters are initialised as before.
        pretrained: Parameters by path. Those that are not under the path are not read.
        under: The path whose parameters are replaced, all of them: ``encoder``.

    Returns:
        The model. Its ``init`` raises InputError where a parameter is missing or has another
        shape, naming it.
    """

    def replace(path: str, parameter: Array) -> Array:
        if not path.startswith(f"{under}/"):
            return parameter
        if path not in pretrained:
            raise InputError(
                f"the pre-trained model has no parameter {path}; use the options of --model that "
                "it was trained with"
            )
        found = pretrained[path]
        if found.shape != parameter.shape:
            raise InputError(
                f"{path} has shape {list(found.shape)} in the pre-trained model and "
                f"{list(parameter.shape)} here; use the options of --model that it was trained with"
            )
        return jnp.asarray(found, parameter.dtype)

    def init(key: Key, batch: Batch) -> Variables:
        variables = model.init(key, batch)
        params = map_named(replace, variables["params"])
        unread = {path for path in pretrained if path.startswith(f"{under}/")} - set(
            named_leaves(params)
        )
        if unread:
            raise InputError(
                f"the pre-trained model has the parameter {min(unread)}, which this one has not; "
                "use the options of --model that it was trained with"
            )
        return {**variables, "params": params}

    return model._replace(init=init)
