"""Products with parameters in a program, and what each says of the gradient of one example.

A kernel ``w`` that is read by one product ``y = x w`` alone, be it of a dense layer, a convolution
or an embedding, has for an example the gradient ``x^T g`` with ``g`` that of the loss with respect
to ``y``. Its norm follows from ``x`` and ``g`` (Goodfellow, 2015; Li et al., 2022), and the sum
over examples, each times a factor, is one product over the batch (Bu et al., 2023): nothing as
large as the kernel is made for each example.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax import lax
from jax.extend.core import ClosedJaxpr, Literal
from jaxtyping import Array, Float

VIEWS = ("convert_element_type", "reshape", "squeeze", "transpose")
"""Operations that leave all elements of a parameter as they are, but for rounding."""


class Product(NamedTuple):
    """A product with a parameter, the only use of it.

    ``equation`` computes it, whose operand ``side`` is the parameter after the equations ``views``.
    """

    leaf: int
    equation: Any
    side: int
    views: tuple[Any, ...]

    def of(self, kernel: Array, x: Array) -> Array:
        """The product of a parameter as the equation has it and the other operand."""
        operands = (kernel, x) if self.side == 0 else (x, kernel)
        return bind(self.equation, operands)[0]

    def view(self, parameter: Array) -> Array:
        """The parameter as the equation has it."""
        for equation in self.views:
            [parameter] = bind(equation, [parameter])
        return parameter


def bind(equation: Any, operands: Sequence[Any]) -> list[Any]:
    """The results of one equation."""
    params = equation.primitive.get_bind_params(equation.params)
    results = equation.primitive.bind(*operands, **params)
    return list(results) if equation.primitive.multiple_results else [results]


def evaluate(
    program: ClosedJaxpr,
    arguments: Sequence[Any],
    bind: Callable[[Any, list[Any]], list[Any]] = bind,
) -> list[Any]:
    """The results of a program, of each equation those that ``bind(equation, operands)`` gives.

    What is jitted inside is evaluated in place.
    """
    jaxpr = program.jaxpr
    values: dict[Any, Any] = dict(zip(jaxpr.constvars, program.consts, strict=True))
    values |= zip(jaxpr.invars, arguments, strict=True)

    def read(atom: Any) -> Any:
        return atom.val if isinstance(atom, Literal) else values[atom]

    for equation in jaxpr.eqns:
        operands = [read(atom) for atom in equation.invars]
        if equation.primitive.name == "jit":
            results = evaluate(equation.params["jaxpr"], operands, bind)
        else:
            results = bind(equation, operands)
        values |= zip(equation.outvars, results, strict=True)
    return [read(atom) for atom in jaxpr.outvars]


def with_channels_last(function: Callable[..., Any]) -> Callable[..., Any]:
    """The function, whose convolutions have their dimensions in one order.

    In loops XLA leaves convolutions on CPUs as they are, and those that gradients ask for, whose
    dimensions are in other orders, take some forty times as long there as with this one.
    """

    def changed(*arguments: Any) -> Any:
        program, shapes = jax.make_jaxpr(function, return_shape=True)(*arguments)
        found = evaluate(program, jax.tree.leaves(arguments), _with_channels_last)
        return jax.tree.unflatten(jax.tree.structure(shapes), found)

    return changed


def _with_channels_last(equation: Any, operands: list[Any]) -> list[Any]:
    params = equation.params
    if equation.primitive.name != "conv_general_dilated" or params["batch_group_count"] != 1:
        return bind(equation, operands)
    numbers = params["dimension_numbers"]
    batch, channel, *spatial = numbers.lhs_spec
    x = operands[0].transpose(batch, *spatial, channel)
    outputs, inputs, *spatial = numbers.rhs_spec
    kernel = operands[1].transpose(*spatial, inputs, outputs)
    space = tuple(range(x.ndim - 2))
    rows = (0, x.ndim - 1, *(axis + 1 for axis in space))
    last = type(numbers)(rows, (x.ndim - 1, x.ndim - 2, *space), rows)
    [found] = bind(equation.replace(params={**params, "dimension_numbers": last}), [x, kernel])
    order = dict(zip(numbers.out_spec, rows, strict=True))
    return [found.transpose([order[axis] for axis in range(x.ndim)])]


def products_in(program: ClosedJaxpr, count: int) -> list[Product]:
    """The products with those of the first ``count`` arguments that nothing else reads."""
    jaxpr = program.jaxpr
    views: dict[Any, tuple[int, tuple[Any, ...]]] = {
        variable: (leaf, ()) for leaf, variable in enumerate(jaxpr.invars[:count])
    }
    uses: dict[int, list[Product | None]] = {leaf: [] for leaf in range(count)}
    for equation in jaxpr.eqns:
        read = [
            (side, *views[atom])
            for side, atom in enumerate(equation.invars)
            if not isinstance(atom, Literal) and atom in views
        ]
        for side, leaf, before in read:
            if equation.primitive.name in VIEWS and len(equation.invars) == 1:
                views[equation.outvars[0]] = (leaf, (*before, equation))
            elif len(read) == 1 and _is_product(equation, side):
                uses[leaf].append(Product(leaf, equation, side, before))
            else:
                uses[leaf].append(None)
    for atom in jaxpr.outvars:
        if not isinstance(atom, Literal) and atom in views:
            uses[views[atom][0]].append(None)
    return [use[0] for use in uses.values() if len(use) == 1 and use[0] is not None]


def _is_product(equation: Any, side: int) -> bool:
    params = equation.params
    match equation.primitive.name:
        case "dot_general":
            return True
        case "conv_general_dilated":
            plain = params["feature_group_count"] == params["batch_group_count"] == 1
            return side == 1 and plain and set(params["lhs_dilation"]) == {1}
        case "gather":
            table, indices = (atom.aval for atom in equation.invars)
            numbers = params["dimension_numbers"]
            return (
                side == 0
                and params["slice_sizes"] == (1, *table.shape[1:])
                and numbers.collapsed_slice_dims == numbers.start_index_map == (0,)
                and numbers.offset_dims
                == tuple(range(indices.ndim - 1, indices.ndim + table.ndim - 2))
                and not numbers.operand_batching_dims
            )
    return False


def squared_norm(product: Product, x: Array, g: Array) -> Float[Array, ""]:
    """The square of the norm of ``x^T g`` of one example."""
    if product.equation.primitive.name == "gather":
        rows, g = x.reshape(-1), g.reshape(x.size, -1).astype(jnp.float32)
        return jnp.sum(jnp.where(rows[:, None] == rows[None], g @ g.T, 0.0))
    x, g = _rows(product, x, g)
    x, g = x.astype(jnp.float32), g.astype(jnp.float32)
    time, inputs, outputs = *x.shape[1:], g.shape[2]
    if time == 1:
        return jnp.sum(jnp.sum(x * x, axis=(1, 2)) * jnp.sum(g * g, axis=(1, 2)))
    if time * (inputs + outputs) < inputs * outputs:
        return jnp.sum((x @ x.mT) * (g @ g.mT))
    return jnp.sum(jnp.square(x.mT @ g))


def weighted_sum(product: Product, parameter: Array, x: Array, g: Array) -> Array:
    """The sum of ``x^T g`` over examples, which both have first."""
    kernel = jax.eval_shape(product.view, parameter)
    if product.equation.primitive.name == "dot_general":
        found = _product_of_rows(product, kernel, x, g)
    else:
        several = jax.vmap(product.of, (None, 0))
        [found] = jax.linear_transpose(lambda kernel: several(kernel, x), kernel)(g)
    [found] = jax.linear_transpose(product.view, parameter)(found)
    return found


def _rows(product: Product, x: Array, g: Array) -> tuple[Array, Array]:
    """The operands of one example as ``[batch, time, inputs]`` and ``[batch, time, outputs]``.

    ``batch`` are dimensions of the kernel over which it is only repeated, and ``time`` those of
    which the gradient is a sum.
    """
    if product.equation.primitive.name == "conv_general_dilated":
        return _patches(product.equation, x, g)
    contracted, batch = (
        tuple(axes[1 - product.side]) for axes in product.equation.params["dimension_numbers"]
    )
    free = tuple(axis for axis in range(x.ndim) if axis not in (*contracted, *batch))
    of_batch, time, inputs = (
        math.prod(x.shape[axis] for axis in axes) for axes in (batch, free, contracted)
    )
    x = x.transpose(*batch, *free, *contracted).reshape(of_batch, time, inputs)
    # A product has the free axes of its left operand first.
    if product.side == 0:
        return x, g.reshape(of_batch, -1, time).mT
    return x, g.reshape(of_batch, time, -1)


def _product_of_rows(product: Product, kernel: Any, x: Array, g: Array) -> Array:
    x, g = jax.vmap(lambda x, g: _rows(product, x, g))(x, g)
    if x.shape[1] == 1:
        # One product of rows: see ``bigmodel.models.layers.dense``.
        found = x.reshape(-1, x.shape[-1]).T @ g.reshape(-1, g.shape[-1])
    else:
        found = jnp.einsum("ebti,ebto->bio", x, g)
    contracted, batch = (
        tuple(axes[product.side]) for axes in product.equation.params["dimension_numbers"]
    )
    free = tuple(axis for axis in range(kernel.ndim) if axis not in (*contracted, *batch))
    order = (*batch, *contracted, *free)
    found = found.reshape([kernel.shape[axis] for axis in order])
    return found.transpose([order.index(axis) for axis in range(kernel.ndim)])


def _patches(equation: Any, x: Array, g: Array) -> tuple[Array, Array]:
    """What each output of a convolution reads, in the place of the images."""
    params = equation.params
    numbers = params["dimension_numbers"]
    batch, channel, *spatial = numbers.lhs_spec
    x = x.transpose(batch, *spatial, channel)
    batch, channel, *spatial = numbers.out_spec
    g = g.transpose(batch, *spatial, channel)
    x = jnp.pad(x, ((0, 0), *params["padding"], (0, 0)))
    sizes = [equation.invars[1].aval.shape[axis] for axis in numbers.rhs_spec[2:]]
    taken = []
    for at in itertools.product(*map(range, sizes)):
        starts = [i * step for i, step in zip(at, params["rhs_dilation"], strict=True)]
        limits = [
            start + (size - 1) * stride + 1
            for start, size, stride in zip(
                starts, g.shape[1:-1], params["window_strides"], strict=True
            )
        ]
        strides = (1, *params["window_strides"], 1)
        taken.append(lax.slice(x, (0, *starts, 0), (len(x), *limits, x.shape[-1]), strides))
    patches = jnp.concatenate(taken, axis=-1)
    return patches.reshape(1, -1, patches.shape[-1]), g.reshape(1, -1, g.shape[-1])
