"""Which axes of parameters belong together, found in what a network computes.

An axis of a parameter is a product of parts: that of a dense layer behind a convolution is rows,
columns and channels, that of queries heads and features. Parts of two axes are the same where the
program adds, multiplies or contracts them elementwise, so that to leave out an entry of one is to
leave it out of the other (Fang et al., 2023). A part is fixed where the program tells its entries
apart: where it slices, shifts, gathers or sorts them, does what is not known here, or has them from
a batch.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeAlias

import jax
import numpy as np
from jax.extend.core import ClosedJaxpr, Literal

from bigmodel.experiment import Batch, Variables
from bigmodel.tree import path_of

ELEMENTWISE = (
    "abs", "add", "add_any", "and", "ceil", "clamp", "convert_element_type", "copy", "copy_p",
    "cos", "div", "eq", "erf", "exp", "exp2", "expm1", "floor", "ge", "gt", "integer_pow", "name",
    "is_finite", "le", "log", "log1p", "logistic", "lt", "max", "min", "mul", "ne", "neg", "not",
    "or", "pow", "reduce_precision", "round", "rsqrt", "select_n", "sign", "sin", "sqrt", "square",
    "stop_gradient", "sub", "tanh", "xor",
)  # fmt: skip
REDUCTIONS = ("reduce_sum", "reduce_max", "reduce_min", "reduce_and", "reduce_or")
WINDOWS = ("reduce_window", "reduce_window_max", "reduce_window_min", "reduce_window_sum")
CALLS = ("jaxpr", "call_jaxpr", "fun_jaxpr")


class Part:
    """A part of an axis: so many entries, whether they are fixed, and what it was found to be."""

    def __init__(self, size: int, *, fixed: bool = False) -> None:
        self.size, self.fixed = size, fixed
        self.same: list[Part] | None = None
        """The part that it is the same as, or those that it is the product of."""


Axis: TypeAlias = list[Part]
"""The parts of an axis, the slowest first; none of one entry."""
Axes: TypeAlias = list[Axis]


def resolved(axis: Sequence[Part]) -> Axis:
    """The parts of an axis as they are known by now."""
    found: Axis = []
    for part in axis:
        found += [part] if part.same is None else resolved(part.same)
    return found


def new_axes(shape: Sequence[int], *, fixed: bool = False) -> Axes:
    """Axes of which nothing is known."""
    return [[Part(size, fixed=fixed)] if size != 1 else [] for size in shape]


def fix(*axes: Sequence[Part]) -> None:
    """Fixes all parts of some axes."""
    for axis in axes:
        for part in resolved(axis):
            part.fixed = True


def join(one: Sequence[Part], other: Sequence[Part]) -> None:
    """Makes two axes of one size the same; where their parts do not fit each other, fixed."""
    left, right = resolved(one), resolved(other)
    while left and right:
        a, b = left[0], right[0]
        if a is b:
            del left[0], right[0]
        elif a.size == b.size:
            a.fixed |= b.fixed
            b.same = [a]
            del left[0], right[0]
        elif max(a.size, b.size) % min(a.size, b.size) == 0:
            split(a if a.size > b.size else b, min(a.size, b.size))
        else:
            return fix(left, right)
        left, right = resolved(left), resolved(right)
    return fix(left, right)


def split(part: Part, first: int) -> None:
    """Makes a part the product of one of so many entries and the rest."""
    part.same = [Part(size, fixed=part.fixed) for size in (first, part.size // first)]


def regrouped(axes: Axes, shape: Sequence[int]) -> Axes:
    """The axes after a reshape."""
    parts = resolved([part for axis in axes for part in axis])
    found: Axes = []
    for size in shape:
        axis: Axis = []
        while (missing := size // math.prod(part.size for part in axis)) > 1:
            if not parts or math.gcd(parts[0].size, missing) == 1:
                fix(parts, *found, axis)
                return new_axes(shape, fixed=True)
            if parts[0].size > missing or missing % parts[0].size:
                split(parts[0], math.gcd(parts[0].size, missing))
                parts = resolved(parts)
            axis.append(parts.pop(0))
        found.append(axis)
    return found


def coupled(
    function: Callable[[Variables, Batch], Any], variables: Variables, batch: Batch
) -> Mapping[str, Axes]:
    """The axes of variables by path, of which the same parts are the same objects.

    Args:
        function: What is computed of them.
        variables: Arrays or their shapes.
        batch: Arrays of a batch, all of which are fixed.
    """
    closed = jax.make_jaxpr(function)(variables, batch)
    paths = [path_of(path) for path, _ in jax.tree_util.tree_leaves_with_path(variables)]
    given = [
        new_axes(shape_of(each), fixed=number >= len(paths))
        for number, each in enumerate(closed.jaxpr.invars)
    ]
    for axes in walk(closed, given):
        fix(*axes)
    found = dict(zip(paths, given, strict=False))
    return {path: [resolved(axis) for axis in axes] for path, axes in found.items()}


def shape_of(variable: Any) -> tuple[int, ...]:
    """The shape of a variable of a program."""
    shape: tuple[int, ...] = variable.aval.shape
    return shape


def of_constant(array: Any) -> Axes:
    """The axes of an array, fixed where its entries differ along them."""
    array = np.asarray(array)
    return [
        [Part(size, fixed=bool((array != array.take([0], axis=n)).any()))] if size != 1 else []
        for n, size in enumerate(array.shape)
    ]


def walk(closed: ClosedJaxpr, given: Sequence[Axes]) -> list[Axes]:
    """The axes of a program's outputs; on the way, those that belong together are joined."""
    program = closed.jaxpr
    known: dict[Any, Axes] = dict(
        zip(program.constvars, map(of_constant, closed.consts), strict=True)
    )
    known |= dict(zip(program.invars, given, strict=True))

    def axes_of(each: Any) -> Axes:
        return new_axes(shape_of(each)) if isinstance(each, Literal) else known[each]

    for equation in program.eqns:
        operands = [axes_of(each) for each in equation.invars]
        shapes = [shape_of(each) for each in equation.outvars]
        known |= dict(zip(equation.outvars, outputs(equation, operands, shapes), strict=True))
    return [axes_of(each) for each in program.outvars]


def outputs(equation: Any, operands: list[Axes], shapes: Sequence[Sequence[int]]) -> list[Axes]:
    """The axes of what an equation gives."""
    name, options = equation.primitive.name, equation.params
    inner = next((options[call] for call in CALLS if call in options), None)
    if name == "cond":
        results = [walk(branch, operands[1:]) for branch in options["branches"]]
        for other in results[1:]:
            together(*zip(results[0], other, strict=True))
        return results[0]
    if inner is not None and name not in ("scan", "while"):
        inner = inner if isinstance(inner, ClosedJaxpr) else ClosedJaxpr(inner, ())
        return walk(inner, operands[len(operands) - len(inner.jaxpr.invars) :])
    if name == "optimization_barrier":
        return operands
    if name in ELEMENTWISE:
        whole = [axes for axes in operands if len(axes) == len(shapes[0])]
        together(*((whole[0], axes) for axes in whole[1:]))
        return [[next((axis for axis in axes if axis), []) for axes in zip(*whole, strict=True)]]
    first = operands[0] if operands else []
    if name in REDUCTIONS:
        return [[axis for n, axis in enumerate(first) if n not in options["axes"]]]
    if name == "transpose":
        return [[first[n] for n in options["permutation"]]]
    if name == "squeeze":
        return [[axis for n, axis in enumerate(first) if n not in options["dimensions"]]]
    if name == "reshape" and options["dimensions"] is None:
        return [regrouped(first, shapes[0])]
    if name == "broadcast_in_dim":
        result = new_axes(shapes[0])
        for axis, n in zip(first, options["broadcast_dimensions"], strict=True):
            result[n] = axis or result[n]
        return [result]
    if name == "dot_general":
        return [product(operands[0], operands[1], options["dimension_numbers"])]
    if name == "conv_general_dilated":
        return [convolution(operands[0], operands[1], options, shapes[0])]
    kept = whole_axes(name, options, equation)
    if name == "concatenate":
        together(*((first, other) for other in operands[1:]), but=options["dimension"])
    for operand in operands:
        fix(*(axis for n, axis in enumerate(operand) if n not in kept))
    return [
        [first[n] if n in kept else new_axes([size], fixed=True)[0] for n, size in enumerate(shape)]
        for shape in shapes
    ]


def whole_axes(name: str, options: Mapping[str, Any], equation: Any) -> set[int]:
    """The axes that an operation leaves as they are, of those that it changes in place."""
    shape = equation.invars[0].aval.shape if equation.invars else ()
    every = range(len(shape))
    if name in WINDOWS:
        return {n for n in every if options["window_dimensions"][n] == 1}
    if name == "pad":
        return {n for n in every if tuple(options["padding_config"][n]) == (0, 0, 0)}
    if name in ("slice", "dynamic_slice"):
        return {n for n in every if equation.outvars[0].aval.shape[n] == shape[n]}
    if name in ("concatenate", "split"):
        return {*every} - {options.get("dimension", options.get("axis"))}
    return set()


def together(*pairs: tuple[Axes, Axes], but: int = -1) -> None:
    """Joins the axes of pairs of arrays, but for one of them and those that are broadcast."""
    for one, other in pairs:
        for n, (left, right) in enumerate(zip(one, other, strict=True)):
            if n != but and left and right:
                join(left, right)


def product(left: Axes, right: Axes, dimensions: Any) -> Axes:
    """The axes of a product of matrices."""
    contracted, batched = dimensions
    for pairs in (contracted, batched):
        for one, other in zip(*pairs, strict=True):
            join(left[one], right[other])
    free = [
        [axis for n, axis in enumerate(axes) if n not in (*contracted[side], *batched[side])]
        for side, axes in enumerate((left, right))
    ]
    return [*(left[n] for n in batched[0]), *free[0], *free[1]]


def convolution(images: Axes, kernel: Axes, options: Mapping[str, Any], shape: Any) -> Axes:
    """The axes of a convolution over all channels, or of each channel alone."""
    numbers, result = options["dimension_numbers"], new_axes(shape, fixed=True)
    groups, inputs = options["feature_group_count"], images[numbers.lhs_spec[1]]
    result[numbers.out_spec[0]] = images[numbers.lhs_spec[0]]
    outs = kernel[numbers.rhs_spec[0]]
    if groups == 1:
        join(inputs, kernel[numbers.rhs_spec[1]])
    elif groups == math.prod(part.size for part in outs) == math.prod(p.size for p in inputs):
        join(inputs, outs)
    else:
        fix(inputs, outs, kernel[numbers.rhs_spec[1]])
    result[numbers.out_spec[1]] = outs
    fix(*(kernel[n] for n in numbers.rhs_spec[2:]))
    return result
