"""The floor of a step in XLA: the products and convolutions of plain Flax's step, and no more.

Each is a program of its own, on random numbers, made as often as the step makes it. Where a run
spreads its batch over several CPU devices, each of them makes those of its part.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import Any

import jax
import linen
import numpy as np
import project
from jax.extend.core import jaxprs_in_params, primitives
from jax.sharding import PartitionSpec as P
from resident import Step, serve

from bigmodel.processes.cpu import start_cpu
from bigmodel.runtime.settings import Settings
from bigmodel.sharding.cores import flops_of, mesh_of


def products(jaxpr: Any, times: int = 1) -> Iterator[tuple[Any, int]]:
    """The equations of a program that are products, and how often each is made."""
    for equation in jaxpr.eqns:
        if flops_of(equation):
            yield equation, times
        length = equation.params["length"] if equation.primitive is primitives.scan_p else 1
        for inner in jaxprs_in_params(equation.params):
            yield from products(inner, times * length)


def build(row: dict[str, Any]) -> Step:
    """Calls of all products of a row's step."""
    start_cpu()
    mesh = mesh_of(project.experiment(row), Settings().mesh)
    part = {**row, "batch": row["batch"] // mesh.size}
    step, arguments, parameters = linen.traced(part)
    found: Counter[str] = Counter()
    equations = {}
    for equation, times in products(jax.make_jaxpr(step)(*arguments).jaxpr):
        kind = f"{equation.primitive} {[v.aval.str_short() for v in equation.invars]}"
        kind += str(sorted(map(repr, equation.params.items())))
        found[kind] += times
        equations[kind] = equation
    rng, calls = np.random.default_rng(0), []
    for kind, times in found.items():
        one = equations[kind]

        def made(*arrays: jax.Array, one: Any = one) -> jax.Array:
            result: jax.Array = one.primitive.bind(*(each[0] for each in arrays), **one.params)
            return result[None]

        spread = jax.shard_map(made, mesh=mesh, in_specs=P("data"), out_specs=P("data"))
        operands = [
            jax.device_put(
                rng.normal(size=(mesh.size, *each.aval.shape)).astype(each.aval.dtype),
                jax.NamedSharding(mesh, P("data")),
            )
            for each in one.invars
        ]
        calls.append((jax.jit(spread), operands, times))

    def run(steps: int) -> None:
        for _ in range(steps):
            for call, operands, times in calls:
                for _ in range(times):
                    jax.block_until_ready(call(*operands))

    return Step(run, parameters)


if __name__ == "__main__":
    serve(build)
