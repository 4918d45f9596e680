"""Every split of eight devices trains the same model, and sends what textbooks say."""

import functools
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from rare import rare
from test_contract import ROOT, build, go_on

from bigmodel.run_directory.checkpoints import Checkpoints
from bigmodel.runtime.compilation import Compiled, compile_experiment
from bigmodel.runtime.loop import init_key
from bigmodel.sharding.collectives import collectives
from bigmodel.sharding.mesh import MeshShape, batch_shardings, make_mesh
from bigmodel.tree import named_leaves

AXES = ("data", "fsdp", "tensor", "sequence", "expert", "pipeline")
STEPS = 20

SMALL = ("--model.layers=2", "--model.width=16", "--data.context=16", "--data.vocab-size=300")
SMALL += ("--sampling.tokens=4",)
MIXED = ("--model.scan", "--model.microbatches=2", "--model.experts=2", "--model.dropout=0.1")
DEEP = ("--model.layers=8", "--model.width=32", "--model.heads=8", "--model.kv-heads=2")
DEEP += ("--model.experts=8", "--model.capacity=1.5", "--data.batch-size=16")
PLAIN = ("--model.width=64",)


def splits(devices: int) -> list[MeshShape]:
    """All ways to write a number of devices as a product of the axes."""
    found: list[tuple[int, ...]] = [()]
    for _ in AXES[1:]:
        found = [(*s, n) for s in found for n in (1, 2, 4, 8) if devices % math.prod((*s, n)) == 0]
    return [MeshShape(devices // math.prod(s), *s) for s in found]


ONE = MeshShape(1)
CORNERS = [MeshShape(2, 2, 2), MeshShape(1, 1, 1, 2, 2, 2)]
ALL = [shape for devices in (2, 4, 8) for shape in splits(devices)]
OTHERS = [MeshShape(*s) for s in ((4, 1, 2), (2, 2, 2), (1, 4, 2), (1, 2, 4), (1, 1, 8))]


def named(shapes: Sequence[Any]) -> Any:
    def name(shape: MeshShape) -> str:
        return "-".join(f"{axis}{getattr(shape, axis)}" for axis in AXES)

    return pytest.mark.parametrize("shape", shapes, ids=name)


class Trained(NamedTuple):
    compiled: Compiled
    losses: list[float]
    state: Any


def trained(script: str, shape: MeshShape, *options: str) -> Trained:
    """The first steps of an experiment on a mesh."""
    built = build(ROOT / "experiments" / f"{script}.py", *options)
    compiled = compile_experiment(built.experiment, make_mesh(shape))
    found, state = go_on(built, compiled, compiled.init(init_key(0)), steps=STEPS)
    return Trained(compiled, found, state)


@functools.cache
def kept(script: str, shape: MeshShape, *options: str) -> Trained:
    """The same, for those that several tests look at."""
    return trained(script, shape, *options)


@named([rare(CORNERS[0]), CORNERS[1]])
@pytest.mark.xdist_group("layouts")
def test_losses_are_those_of_one_device_and_each_axis_splits_something(shape: MeshShape) -> None:
    found, alone = (kept("gpt", each, *SMALL, *MIXED) for each in (shape, ONE))
    np.testing.assert_allclose(found.losses, alone.losses, rtol=1e-5)
    specs = str([leaf.sharding.spec for leaf in jax.tree.leaves(found.compiled.state.params)])
    for axis in ("fsdp", "tensor", "expert", "pipeline"):
        assert axis in specs or getattr(shape, axis) == 1


@pytest.mark.xdist_group("layouts")
def test_a_checkpoint_of_one_layout_goes_on_under_another(tmp_path: Path) -> None:
    options = (*SMALL, *MIXED)
    built = build(ROOT / "experiments" / "gpt.py", *options)
    one, other = (kept("gpt", shape, *options) for shape in CORNERS)
    saved = Checkpoints(tmp_path, warn=pytest.fail)
    saved.save(STEPS, one.state, keep=set())
    saved.wait()
    further = []
    for layout in (one, other):
        state = saved.restore(STEPS, layout.compiled.state)
        jax.tree.map(np.testing.assert_array_equal, *jax.device_get((state, one.state)))
        further.append(go_on(built, layout.compiled, state, start=STEPS, steps=3)[0])
    saved.close()
    np.testing.assert_allclose(*further, rtol=1e-5)


@pytest.mark.matrix
@named(ALL)
def test_losses_do_not_depend_on_any_split(shape: MeshShape) -> None:
    options = (*SMALL, *MIXED, *DEEP)
    found, alone = trained("gpt", shape, *options), kept("gpt", ONE, *options)
    np.testing.assert_allclose(found.losses, alone.losses, rtol=1e-5)


@pytest.mark.matrix
@named(OTHERS)
@pytest.mark.parametrize(
    "script", ["bert", "bert_classify", "seq2seq", "summarize", "tagging", "transformer", "vit"]
)
def test_losses_of_others_do_not_depend_on_tensor(script: str, shape: MeshShape) -> None:
    found, alone = trained(script, shape), kept(script, ONE)
    np.testing.assert_allclose(found.losses, alone.losses, rtol=1e-5)


class Step(NamedTuple):
    executable: Any
    params: dict[str, Any]

    def bytes(self, kind: str, *, group: int) -> int:
        """What collectives of a kind exchange, all of which are among so many devices."""
        found = [c for c in collectives(self.executable.as_text()) if c.kind == kind]
        assert {c.group_size for c in found} <= {group}
        return sum(c.bytes * c.times for c in found)

    def count(self, kind: str, *, least: int) -> int:
        """How many collectives of a kind exchange at least so many bytes."""
        found = [c for c in collectives(self.executable.as_text()) if c.kind == kind]
        return sum(c.times for c in found if c.bytes >= least)

    @property
    def size(self) -> int:
        """Bytes of all parameters."""
        return sum(4 * leaf.size for leaf in self.params.values())


@functools.cache
def step(shape: MeshShape, *options: str) -> Step:
    """The training step of the GPT, compiled."""
    experiment = build(ROOT / "experiments" / "gpt.py", *SMALL, *PLAIN, *options).experiment
    mesh = make_mesh(shape)
    compiled = compile_experiment(experiment, mesh)
    batch = dict(experiment.data.train(0, 0))
    places = batch_shardings(mesh, experiment.partition, batch)
    shapes = {
        name: jax.ShapeDtypeStruct(array.shape, jnp.asarray(array).dtype, sharding=places[name])
        for name, array in batch.items()
    }
    lowered = compiled.step.lower(compiled.state, shapes, jax.random.key(0), jnp.int32(0))
    return Step(lowered.compile(), named_leaves(compiled.state.params))


BATCH, TIME, WIDTH, LAYERS = 8, 16, 64, 2
RESIDUAL = 4 * BATCH * TIME * WIDTH
METRICS = 256
"""More than the bytes of all metrics and checks, which are summed up too."""


def test_data_parallel_sums_up_the_gradients_once() -> None:
    found = step(MeshShape(8), "--model.no-tied")
    assert 0 <= found.bytes("all-reduce", group=8) - found.size < METRICS
    assert found.bytes("all-gather", group=8) == 0


def test_fsdp_gathers_each_sharded_parameter_once_and_sums_up_the_gradients_once() -> None:
    # The compiler for CPU sums up whole gradients and keeps a part; others reduce-scatter.
    # Of the embedding it brings gradients to the devices of their features: the tokens go to
    # all, and each position's features to as many.
    found = step(MeshShape(1, 8))
    sharded = sum(4 * leaf.size for leaf in found.params.values() if leaf.ndim > 1)
    tokens = 4 * BATCH * TIME
    assert found.bytes("all-gather", group=8) == sharded + tokens
    assert 0 <= found.bytes("all-reduce", group=8) - found.size < METRICS
    assert found.bytes("all-to-all", group=8) == RESIDUAL // 8


@pytest.mark.matrix
def test_fsdp_gathers_the_layers_of_a_stack_one_by_one_and_again_in_the_backward_pass() -> None:
    found = step(MeshShape(1, 8), "--model.scan")
    stacked = sum(4 * leaf.size for path, leaf in found.params.items() if "kernel" in path)
    embedding = 4 * found.params["embedding/embedding"].size
    tokens = 4 * BATCH * TIME
    assert found.bytes("all-gather", group=8) == 2 * stacked + embedding + tokens
    assert found.count("all-gather", least=1) == 2 * 6 * LAYERS + 2
    # As above, others reduce-scatter.
    assert 0 <= found.bytes("all-reduce", group=8) - found.size < METRICS


def test_tensor_parallel_sums_up_features_twice_a_block_forward_and_backward() -> None:
    # Shoeybi et al. (2019). Backward, the compiler for CPU sums up what comes of queries, keys
    # and values one by one, and not their sum. The vocabulary adds one in either direction.
    found = step(MeshShape(1, tensor=4))
    forward, backward = 2, 1 + 3
    expected = RESIDUAL * ((forward + backward) * LAYERS + 2)
    assert 0 <= found.bytes("all-reduce", group=4) - expected < RESIDUAL / 4
    assert found.bytes("all-gather", group=4) == 0


@pytest.mark.matrix
def test_experts_get_their_tokens_and_give_them_back_forward_and_backward() -> None:
    found = step(MeshShape(1, expert=4), "--model.experts=4", "--model.capacity=1")
    places = 4 * BATCH * TIME * 2 * WIDTH // 4
    assert found.bytes("all-to-all", group=4) == 4 * LAYERS * places


@pytest.mark.matrix
def test_stages_hand_on_each_microbatch_forward_and_backward() -> None:
    found = step(MeshShape(1, pipeline=2), "--model.scan", "--model.microbatches=4")
    assert found.count("collective-permute", least=1) >= 2 * (4 + 2 - 1)


def test_parameters_and_optimizer_state_take_an_eighth_of_the_memory_over_eight() -> None:
    one, eight = (
        step(shape).executable.memory_analysis().argument_size_in_bytes
        for shape in (ONE, MeshShape(1, 8))
    )
    assert one >= 3 * step(ONE).size
    assert one / eight > 7
