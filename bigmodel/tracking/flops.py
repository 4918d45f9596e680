"""Floating-point operations of a step's matrix products and convolutions, from its jaxpr.

The compiler's own count (``cost_analysis()["flops"]``) is no substitute. For the ``TINY`` config of
each experiment, on CPU with JAX 0.10.2, it differs from the products by

    seq2seq -22 %, rnn -42 %, resnet -11 % (the body of a scan counts once),
    cnn -19 %, gan -18 %, diffusion -2 % (padding of convolutions does not count),
    transformer +7 %, gpt +9 %, bert +13 %, mlp +22 %, cnn1d +29 %, vit +33 %, autoencoder +41 %,
    word2vec +409 % (it adds all that is not a product: norms, activations, the optimizer).

It also does not say what is float32, what is computed again and what a step reads and writes in
its products, which a plan needs.
"""

from __future__ import annotations

import functools
import itertools
import math
from collections import Counter
from collections.abc import Hashable, Sequence
from typing import Any, NamedTuple

from jax.extend.core import ClosedJaxpr, Jaxpr, Literal

from bigmodel.sharding.cores import flops_of


class Work(NamedTuple):
    """What the products of a program come to, over all devices.

    ``flops`` counts a multiplication and an addition as two. ``repeated`` is the part of it
    that computes again what was computed before, as ``jax.checkpoint`` does, ``float32`` the
    part whose operands are float32 (or float64). ``bytes`` is the size of all operands and
    results.
    """

    flops: float
    repeated: float
    float32: float
    bytes: float

    @property
    def model_flops(self) -> float:
        """The FLOPs that the model needs, however often they are done."""
        return self.flops - self.repeated


NOTHING = Work(0, 0, 0, 0)
CUDNN = {"dot_product_attention_fwd_wrapper": 2, "dot_product_attention_bwd_wrapper": 5}
"""The products of cuDNN's attention, each of the size of all pairs of positions."""


@functools.lru_cache(maxsize=4)
def count_work(jaxpr: ClosedJaxpr) -> Work:
    """The work of a program.

    The body of a scan counts as often as it runs, that of a kernel for each point of its grid,
    that of a while loop, whose end the data decide, once, and of the branches of a condition the
    one with the most FLOPs counts. A product is a repetition where one of the same values has been
    counted, also where the values are elements of what another scan has stacked.
    """
    counter = _Counter()
    inner = jaxpr.jaxpr
    arguments = [counter.number("argument", i) for i in range(len(inner.invars))]
    return counter.run(inner, [counter.number("const", id(c)) for c in jaxpr.consts], arguments, 1)


class _Counter:
    """Gives equal values equal numbers, and adds up the products."""

    def __init__(self) -> None:
        self.outputs: list[int] = []
        self._numbers: dict[Hashable, int] = {}
        self._stacked: dict[int, int] = {}
        self._done: set[int] = set()
        self._unique = itertools.count()

    def number(self, *what: Hashable) -> int:
        """The number of a value, by how it came about."""
        return self._numbers.setdefault(what, len(self._numbers))

    def run(
        self, jaxpr: Jaxpr, consts: Sequence[int], arguments: Sequence[int], times: int
    ) -> Work:
        """The work of a program that runs so often; ``outputs`` then has its results' numbers."""
        values = dict(zip(jaxpr.constvars, consts, strict=True))
        values |= dict(zip(jaxpr.invars, arguments, strict=True))

        def read(atom: Any) -> int:
            if isinstance(atom, Literal):
                return self.number("literal", repr(atom.val), str(atom.aval))
            return values[atom]

        works = []
        for equation in jaxpr.eqns:
            works.append(self._equation(equation, [read(atom) for atom in equation.invars], times))
            values |= dict(zip(equation.outvars, self.outputs, strict=True))
        self.outputs = [read(atom) for atom in jaxpr.outvars]
        return Work(*(sum(parts) for parts in zip(NOTHING, *works, strict=True)))

    def _equation(self, equation: Any, inputs: list[int], times: int) -> Work:
        name, params = equation.primitive.name, equation.params
        match name:
            case "scan":
                return self._scan(equation, inputs, times)
            case "cond":
                branches = [self._closed(one, inputs[1:], times) for one in params["branches"]]
                self._unknown(equation)
                return max(branches, key=lambda work: work.flops)
            case "while":
                consts, carry = params["cond_nconsts"], params["body_nconsts"]
                values = inputs[consts : consts + carry]
                values += [self._new() for _ in inputs[consts + carry :]]
                work = self._closed(params["body_jaxpr"], values, times)
                self._unknown(equation)
                return work
            case "pallas_call":
                body, grid = params["jaxpr"], math.prod(params["grid_mapping"].grid)
                work = self.run(body, (), [self._new() for _ in body.invars], times * grid)
                self._unknown(equation)
                return work._replace(bytes=_size(equation) * times)
            case "shard_map":
                devices = math.prod(
                    params["mesh"].shape[axis] for axis in params["newly_manual_axes"]
                )
                local = [self.number("local", value) for value in inputs]
                work = self.run(params["jaxpr"], (), local, times * devices)
                self.outputs = [self.number("global", value) for value in self.outputs]
                return work
        for key in ("jaxpr", "call_jaxpr"):
            if isinstance(params.get(key), ClosedJaxpr):
                return self._closed(params[key], inputs, times)
            if isinstance(params.get(key), Jaxpr):
                return self.run(params[key], (), inputs, times)
        try:
            how: Hashable = tuple(sorted(params.items()))
            hash(how)
        except TypeError:
            how = repr(params)
        product = self.number(name, how, *inputs)
        self.outputs = [self.number(product, i) for i in range(len(equation.outvars))]
        flops = (flops_of(equation) or _fused(equation)) * times
        if not flops:
            return NOTHING
        again = product in self._done
        self._done.add(product)
        wide = equation.invars[0].aval.dtype.itemsize >= 4
        return Work(flops, flops * again, flops * wide, _size(equation) * times)

    def _closed(self, jaxpr: ClosedJaxpr, inputs: Sequence[int], times: int) -> Work:
        consts = [self.number("const", id(const)) for const in jaxpr.consts]
        return self.run(jaxpr.jaxpr, consts, inputs, times)

    def _scan(self, equation: Any, inputs: list[int], times: int) -> Work:
        """A loop whose values at one index have numbers.

        An element of what another loop has stacked has the number that it had there, so that
        what the backward pass repeats is known.
        """
        params, length = equation.params, equation.params["length"]
        body = params["jaxpr"].jaxpr
        # Versions of JAX differ in how they say what is carried; what is stacked has one axis more.
        carried = len(body.outvars) - _stacks(equation.outvars, body.outvars)
        consts = len(inputs) - carried - _stacks(equation.invars, body.invars)
        start, stacks = inputs[consts : consts + carried], inputs[consts + carried :]
        elements = [self._stacked.get(one, self.number("element", one)) for one in stacks]
        loop = self.number("scan", length, params["reverse"], frozenset(stacks))
        seen: Counter[int] = Counter()
        carry = []
        for value in start:
            carry.append(self.number("carry", loop, value, seen[value]))
            seen[value] += 1
        work = self._closed(params["jaxpr"], [*inputs[:consts], *carry, *elements], times * length)
        last, each = self.outputs[:carried], self.outputs[carried:]
        stacked = [self.number("stacked", loop, value) for value in each]
        self._stacked |= dict(zip(stacked, each, strict=True))
        self.outputs = [self.number("last", loop, value) for value in last] + stacked
        return work

    def _unknown(self, equation: Any) -> None:
        self.outputs = [self._new() for _ in equation.outvars]

    def _new(self) -> int:
        return self.number("new", next(self._unique))


def _stacks(outside: Sequence[Any], inside: Sequence[Any]) -> int:
    """How many values of a loop are slices of arrays outside of it."""
    pairs = zip(outside, inside, strict=True)
    return sum(len(whole.aval.shape) > len(part.aval.shape) for whole, part in pairs)


def _size(equation: Any) -> int:
    """The bytes of all operands and results."""
    arrays = [variable.aval for variable in (*equation.invars, *equation.outvars)]
    return sum(aval.size * aval.dtype.itemsize for aval in arrays)


def _fused(equation: Any) -> int:
    """The FLOPs of cuDNN's attention; 0 for anything else."""
    products = CUDNN.get(equation.primitive.name, 0)
    if not products:
        return 0
    query, key = (operand.aval.shape for operand in equation.invars[:2])
    return 2 * products * math.prod(query) * key[1]
