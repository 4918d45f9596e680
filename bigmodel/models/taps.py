"""The layers inside a network by path: what each gives, read or changed on the way."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any, Literal, NamedTuple, TypeAlias

import flax.linen as nn
import jax
import jax.numpy as jnp
from flax.core.tracers import current_trace

from bigmodel.experiment import Array, Batch, PyTree, Variables
from bigmodel.models.attention.attention import Attention, CausalAttention
from bigmodel.models.attention.stack import Stack
from bigmodel.models.layers.convolution import Conv, DepthwiseConv
from bigmodel.partition import STACKED

Apply: TypeAlias = Callable[[Variables, Batch], PyTree]
Change: TypeAlias = Callable[[Array], Array]
Kind: TypeAlias = Literal["convolution", "embedding", "self-attention", "other"]

KINDS: dict[Kind, tuple[type[nn.Module], ...]] = {
    "convolution": (Conv, DepthwiseConv, nn.Conv),
    "embedding": (nn.Embed,),
    "self-attention": (Attention, CausalAttention),
}


class Layer(NamedTuple):
    """What is known of a layer: its kind, and the shape of what it gives.

    What is ``inside`` of a loop, of members side by side or of what is computed again can be
    changed there, and not be read.
    """

    kind: Kind
    shape: tuple[int, ...]
    inside: bool


class Tapped(NamedTuple):
    """The outputs of a network, and by path those of its layers and their attention weights.

    Of a layer that is called more than once it is the last output. All are in the order in which
    the layers end.
    """

    outputs: PyTree
    layers: dict[str, Array]
    weights: dict[str, Array]


def layers(apply: Apply, variables: Variables, batch: Batch) -> dict[str, Layer]:
    """The layers that ``apply`` calls, by path, in the order in which they end."""
    found: dict[str, Layer] = {}

    def see(path: str, kind: Kind, output: Array, inside: bool) -> None:
        found.pop(path, None)
        found[path] = Layer(kind, output.shape, inside)

    def run(variables: Variables, batch: Batch) -> PyTree:
        return _run(apply, variables, batch, {}, see, weights=None)

    jax.eval_shape(run, variables, batch)
    return found


def tapped(
    apply: Apply,
    variables: Variables,
    batch: Batch,
    *,
    changes: Mapping[str, Change] = MappingProxyType({}),
    weights: bool = False,
) -> Tapped:
    """``apply(variables, batch)``, and what its layers give; the compiler removes what is not read.

    Blocks that are a stack are run one by one, under the paths that they have one by one.

    Args:
        apply: pure; where it calls Linen modules, these are the layers.
        variables: its variables.
        batch: its inputs.
        changes: by path, what is made of a layer's output before the network goes on with it, in
            float32.
        weights: whether to read the weights of self-attention, ``[batch, time, heads, time]``.
    """
    kept: dict[str, Array] = {}
    attention: dict[str, Array] = {}

    def see(path: str, kind: Kind, output: Array, inside: bool) -> None:
        del kind
        kept.pop(path, None)
        if not inside:
            kept[path] = output

    outputs = _run(apply, variables, batch, changes, see, weights=attention if weights else None)
    return Tapped(outputs, kept, attention)


def _run(
    apply: Apply,
    variables: Variables,
    batch: Batch,
    changes: Mapping[str, Change],
    see: Callable[[str, Kind, Array, bool], None],
    *,
    weights: dict[str, Array] | None,
) -> PyTree:
    outside = current_trace()
    above: list[str] = []
    alone = False

    def intercept(call: Callable[..., Any], args: Any, options: Any, context: Any) -> Any:
        nonlocal alone
        module = context.module
        path = "/".join([*above, *module.path])
        if context.method_name != "__call__" or alone or not path:
            return call(*args, **options)
        inside = current_trace() != outside
        kind = _kind(module, args)
        if isinstance(module, Stack) and options.get("carried") is None and not inside:
            return _one_by_one(module, path, above, *args, **options)
        if kind == "self-attention" and weights is not None and not inside:
            alone = True
            weights[path] = _weights(module, args, options)
            alone = False
        output = call(*args, **options)
        first, *others = output if isinstance(output, tuple) else (output,)
        if not hasattr(first, "shape"):
            return output
        if path in changes:
            first = changes[path](first.astype(jnp.float32)).astype(first.dtype)
        see(path, kind, first, inside)
        if not isinstance(output, tuple):
            return first
        fields = getattr(output, "_make", tuple)
        return fields((first, *others))

    with nn.intercept_methods(intercept):
        return apply(variables, batch)


def _kind(module: nn.Module, args: tuple[Any, ...]) -> Kind:
    if isinstance(module, Attention) and args[1] is not args[0]:
        return "other"
    return next((kind for kind, types in KINDS.items() if isinstance(module, types)), "other")


def _one_by_one(
    stack: Stack,
    path: str,
    above: list[str],
    x: Array,
    *arguments: Any,
    carried: None,
    train: bool,
    method: str = "__call__",
) -> tuple[Array, None, PyTree]:
    """What a stack gives, layer by layer."""
    del carried
    block = stack.block()
    params: Any = stack.get_variable("params", STACKED)
    found = []
    before, above[:] = above[:], [path]
    for number in range(stack.layers):
        above[-1] = f"{path}_{number}"
        own = jax.tree.map(lambda leaf, number=number: leaf[number], params)
        output: Any = block.apply({"params": own}, x, *arguments, None, train, method=method)
        x, _, *others = output
        found.append(tuple(others))
    above[:] = before
    return x, None, jax.tree.map(lambda *leaves: jnp.stack(leaves), *found)


def _weights(module: nn.Module, args: tuple[Any, ...], options: Mapping[str, Any]) -> Array:
    """The weights that a module attends with."""
    if isinstance(module, Attention):
        x, source, mask = args
        mask = jnp.ones((1, 1, x.shape[1]), jnp.bool_) if mask is None else mask
        args, options = (x, source, mask), {}
    else:
        options = {name: options[name] for name in ("positions", "rotary")}
    # In a copy of its own, for a module has each of its layers once.
    params: Any = {"params": module.variables["params"]}
    found: Any = module.clone(parent=None).apply(params, *args, **options, method="weights")
    return found
