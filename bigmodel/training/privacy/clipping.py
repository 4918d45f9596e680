"""Sums of the gradients of single examples, each clipped to a norm."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from bigmodel.experiment import PyTree
from bigmodel.training.privacy.products import (
    bind,
    evaluate,
    products_in,
    squared_norm,
    weighted_sum,
)

Loss = Callable[[PyTree, PyTree], tuple[Float[Array, ""], PyTree]]
"""From parameters and one example to its loss and what else is measured of it."""


def clipped_sum(
    loss: Loss, params: PyTree, examples: PyTree, real: Bool[Array, " example"], *, clip: float
) -> tuple[PyTree, PyTree, Float[Array, " example"]]:
    """``sum of min(1, clip / |g|) g`` over the gradients ``g`` of the examples that are real.

    An example whose gradient is not finite counts as one that is not real: its neighbours would
    else not be protected from it.

    Args:
        loss: of one example, differentiated with respect to the parameters.
        params: the parameters.
        examples: arrays with the example first.
        real: which of them are no padding.
        clip: the largest norm of the gradient of an example.

    Returns:
        The sum, that of what else was measured, and the norms before they were clipped.
    """
    leaves, structure = jax.tree.flatten(params)
    first = jax.tree.map(lambda leaf: leaf[0], examples)

    def of_leaves(leaves: list[Array], example: PyTree) -> Any:
        return loss(jax.tree.unflatten(structure, leaves), example)

    closed, shapes = jax.make_jaxpr(of_leaves, return_shape=True)(leaves, first)
    # Once more, without what is jitted inside.
    inline = jax.make_jaxpr(lambda *arguments: evaluate(closed, arguments))
    program = inline(*jax.tree.leaves((leaves, first)))
    products = products_in(program, len(leaves))
    number_of = {id(product.equation): number for number, product in enumerate(products)}
    whole = {product.leaf for product in products}
    zeros = [
        jnp.zeros(product.equation.outvars[0].aval.shape, product.equation.outvars[0].aval.dtype)
        for product in products
    ]

    def differentiated(example: PyTree) -> Any:
        def value(added: list[Array], own: dict[int, Array]) -> Any:
            inputs: list[Any] = [None] * len(products)

            def noticed(equation: Any, operands: list[Any]) -> list[Any]:
                results = bind(equation, operands)
                number = number_of.get(id(equation))
                if number is None:
                    return results
                inputs[number] = operands[1 - products[number].side]
                return [results[0] + added[number]]

            given = [own.get(leaf, array) for leaf, array in enumerate(leaves)]
            found = evaluate(program, [*given, *jax.tree.leaves(example)], noticed)
            value, measured = jax.tree.unflatten(jax.tree.structure(shapes), found)
            return value, (measured, inputs)

        own = {leaf: array for leaf, array in enumerate(leaves) if leaf not in whole}
        return jax.grad(value, argnums=(0, 1), has_aux=True)(zeros, own)

    (outputs, own), (measured, inputs) = jax.vmap(differentiated)(examples)
    squares = sum(
        (jnp.sum(jnp.square(leaf.reshape(len(real), -1)), axis=1) for leaf in own.values()),
        start=jnp.zeros(real.shape, jnp.float32),
    )
    for product, x, g in zip(products, inputs, outputs, strict=True):
        squares += jax.vmap(lambda x, g, product=product: squared_norm(product, x, g))(x, g)
    norms = jnp.sqrt(squares)
    used = real & jnp.isfinite(norms)
    factors = jnp.where(used, jnp.minimum(1.0, clip / norms), 0.0)

    def times(factors: Array, leaf: Array) -> Array:
        shape = (len(leaf), *(1,) * (leaf.ndim - 1))
        # Not only times 0, for what is not finite stays so.
        return jnp.where(used.reshape(shape), leaf * factors.astype(leaf.dtype).reshape(shape), 0)

    sums = {leaf: jnp.sum(times(factors, array), axis=0) for leaf, array in own.items()}
    ones = jnp.ones_like(factors)
    for product, x, g in zip(products, inputs, outputs, strict=True):
        x = times(ones, x) if jnp.issubdtype(x.dtype, jnp.floating) else x
        sums[product.leaf] = weighted_sum(product, leaves[product.leaf], x, times(factors, g))
    measured = jax.tree.map(lambda leaf: jnp.sum(times(ones, leaf), axis=0), measured)
    return jax.tree.unflatten(structure, [sums[leaf] for leaf in sorted(sums)]), measured, norms
