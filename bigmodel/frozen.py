"""Variables of which a part is trained: ``params``, and beside them ``frozen``.

What is frozen keeps its values, and has neither a gradient nor moments. A parameter ``w`` of which
a product of low rank is trained (Hu et al., 2021) is frozen, and trained are the factors
``lora/a/<path>`` and ``lora/b/<path>``; ``lora/scale`` is frozen too.
"""

from __future__ import annotations

import re
from collections.abc import Collection

from bigmodel.experiment import Variables
from bigmodel.tree import named_leaves, nested, widened

FROZEN, LORA = "frozen", "lora"


def is_frozen(path: str) -> bool:
    """Whether the path of an array in a state is that of one that is frozen."""
    return re.search(rf"(^|/)variables/(\w+/)?{FROZEN}/", path) is not None


def merged(variables: Variables) -> Variables:
    """The variables as the model itself has them: those that are trained with those that are not.

    The parameter of factors is ``w + scale * a @ b``. What has no ``frozen`` comes back as it is.
    Above the paths of all three may be a component over which they are repeated.
    """
    if FROZEN not in variables:
        return variables
    found = {**named_leaves(variables["params"]), **named_leaves(variables[FROZEN])}
    for at in [path for path in found if f"/{path}".endswith(f"/{LORA}/scale")]:
        scale, above = found.pop(at), at.removesuffix("scale")
        for path in [path for path in found if path.startswith(f"{above}a/")]:
            name = path.removeprefix(f"{above}a/")
            a, b = widened([found.pop(path), found.pop(f"{above}b/{name}")])
            whole = f"{above.removesuffix(f'{LORA}/')}{name}"
            factor = scale.reshape(scale.shape + (1,) * (a.ndim - scale.ndim))
            found[whole] = widened(found[whole]) + factor * (a @ b)
    others = {name: tree for name, tree in variables.items() if name not in ("params", FROZEN)}
    return {"params": nested(found), **others}


def divided(variables: Variables, frozen: Collection[str]) -> Variables:
    """The variables with the parameters of these paths in ``frozen``, where some may be already."""
    params = named_leaves(variables["params"])
    kept = {path: params.pop(path) for path in frozen}
    kept |= named_leaves(variables.get(FROZEN, {}))
    return {**variables, "params": nested(params), FROZEN: nested(kept)}


def unfrozen(variables: Variables) -> Variables:
    """The variables without those that are frozen."""
    return {name: tree for name, tree in variables.items() if name != FROZEN}
