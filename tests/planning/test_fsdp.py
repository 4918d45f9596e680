"""What parameters sharded over eight TPUs send, as the TPU's own compiler decides it."""

import importlib.util
from collections import Counter
from functools import partial
from pathlib import Path

import jax
import jax.numpy as jnp
import pytest
from jax.sharding import NamedSharding
from jax.sharding import PartitionSpec as P

from bigmodel.partition import GRID, STACKED, fitting, spec_of, unsharded
from bigmodel.planning.planning import compile_choice, read
from bigmodel.planning.target import devices_of, target
from bigmodel.sharding.collectives import collectives
from bigmodel.sharding.mesh import MeshShape, grid_of, make_mesh
from bigmodel.tree import named_leaves

ROOT = Path(__file__).parent.parent.parent
OPTIONS = ["--mesh.fsdp=8", "--model.scan", "--model.layers=3", "--optimizer.name=adamw"]
OPTIONS += ["--data.batch-size=16", "--model.width=128"]
SLACK = 0.03
"""Of all bytes, what else is sent: tokens, and sums of metrics, norms and biases."""


pytestmark = [
    pytest.mark.matrix,
    pytest.mark.skipif(not importlib.util.find_spec("libtpu"), reason="needs the extra tpu"),
]


@pytest.mark.parametrize("script", ["gpt", "bert", "vit", "transformer"])
def test_layers_are_gathered_forward_and_backward_and_their_gradients_scattered(script) -> None:
    # Stage 3 of ZeRO (Rajbhandari et al., 2020). What is outside of the stack is gathered once.
    path = ROOT / "experiments" / f"{script}.py"
    build, config = read(path, OPTIONS)
    experiment = build(config)
    params = named_leaves(jax.eval_shape(experiment.init, jax.random.key(0)).params)
    layers = others = 0
    for name, leaf in params.items():
        spec = spec_of(experiment.partition, name, leaf.ndim)
        if "fsdp" in fitting(spec, leaf.shape, {"fsdp": 8}):
            layers += 4 * leaf.size * (STACKED in name)
            others += 4 * leaf.size * (STACKED not in name)
    slices = target(topology="v5e:2x4", devices=None, chip=None)
    found = Counter()
    for one in compile_choice(path, OPTIONS, {}, slices, quick=True).exchanges:
        assert one.group_size == 8
        found[one.kind] += one.bytes * one.times
    slack = SLACK * (layers + others)
    assert 0 <= found["all-gather"] - 2 * layers - others < slack
    assert 0 <= found["reduce-scatter"] - layers < others + slack
    assert found["all-reduce"] < slack


# For slices with three sides the compiler sums up all that is left after the first of them.
@pytest.mark.filterwarnings("ignore:Error reading persistent compilation cache")
@pytest.mark.parametrize(
    ("slices", "share"),
    [("v5e:4x4", 0.56), ("v5e:8x8", 0.51), ("v6e:4x4", 0.56), ("v5p:4x4x4", 0.7)],
)
def test_gradients_over_a_whole_slice_are_scattered(slices: str, share: float) -> None:
    devices = devices_of(target(topology=slices, devices=None, chip=None))
    mesh = make_mesh(MeshShape(1, len(devices)), devices)
    rules = ((r"kernel$", P(None, "fsdp")),)

    def gradient(params, x):
        def loss(params):
            return jnp.sum(jnp.sin(x @ unsharded({"params": params}, rules)["params"]["kernel"]))

        with jax.sharding.use_abstract_mesh(mesh.abstract_mesh):
            return jax.grad(loss)(params)

    def shapes(*shape, spec):
        return jax.ShapeDtypeStruct(shape, jnp.float32, sharding=NamedSharding(mesh, spec))

    params = {"kernel": shapes(4096, 8192, spec=rules[0][1])}
    x = shapes(16384, 4096, spec=P("fsdp"))
    layout = {"kernel": NamedSharding(mesh, rules[0][1])}
    sent = []
    for sides in ((), grid_of(mesh)):
        token = GRID.set(sides)
        compiled = jax.jit(partial(gradient), out_shardings=layout).lower(params, x).compile()
        GRID.reset(token)
        found = collectives(compiled.as_text())
        # In slices with three sides parameters are gathered by a sum, too.
        gathered = max(one.sent for one in found if one.bytes == 2 * 4096 * 8192)
        sent.append(sum(one.sent for one in found) - gathered)
    assert sent[1] < share * sent[0]
