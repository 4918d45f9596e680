import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from initial import initial
from jax.sharding import NamedSharding
from jax.sharding import PartitionSpec as P
from rare import rare

from bigmodel.models.texts import logits
from bigmodel.models.texts.beam import Beam
from bigmodel.models.texts.bert import Bert
from bigmodel.models.texts.gpt import Gpt
from bigmodel.models.texts.logits import Unscored
from bigmodel.models.texts.scores import Scores
from bigmodel.models.texts.seq2seq import Seq2Seq
from bigmodel.models.texts.transformer import Transformer
from bigmodel.sharding.mesh import MeshShape, make_mesh
from bigmodel.training.metrics import next_token, token_accuracy
from bigmodel.training.texts.mixture import of_mixture
from bigmodel.training.texts.translation import nats, smoothed

RNG = np.random.default_rng(0)
VOCAB = 11
KEY = jax.random.key(0)


def integers(*shape: int) -> jax.Array:
    return jnp.asarray(RNG.integers(VOCAB, size=shape), jnp.int32)


def normal(*shape: int) -> jax.Array:
    return jnp.asarray(RNG.normal(size=shape), jnp.float32)


@pytest.fixture
def small_tiles(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {"LARGE": 5, "TILE": 4, "SPLIT": 2}.items():
        monkeypatch.setattr(logits, name, value)


BATCH = {
    "tokens": integers(2, 8),
    "length": jnp.array([8, 3], jnp.int32),
    "chosen": jnp.array([[1, 4, 2], [0, 2, 1]], jnp.int32),
    "source": integers(2, 8),
    "source_length": jnp.array([8, 3], jnp.int32),
    "target_in": integers(2, 8),
    "target_out": integers(2, 8),
    "target_length": jnp.array([7, 2], jnp.int32),
}
TINY = {"layers": 1, "width": 16, "heads": 2}
SIZES = {"vocab_size": VOCAB, "context": 8}
PAIRS = {"source_vocab": VOCAB, "target_vocab": VOCAB, "length": 8, "beam": Beam()}
LLAMA = Gpt(**TINY, tied=False)
EXPERTS = Gpt(**TINY, experts=2)
TOKENS = ({"targets": integers(2, 8), "weight": normal(2, 8) ** 2}, next_token, token_accuracy)
MASKS = ({"targets": integers(2, 3), "weight": jnp.ones((2, 3))}, next_token, token_accuracy)
TARGETS = ({"weight": jnp.ones(2)}, smoothed(0.2), nats)
CASES = {
    "gpt": (Gpt(**TINY).build(**SIZES), *TOKENS),
    "llama": (LLAMA.build(**SIZES), *TOKENS),
    "experts": (EXPERTS.build(**SIZES), TOKENS[0], *of_mixture(next_token, {}, balance=0.1)[:1]),
    "bert": (Bert(**TINY).masked(**SIZES), *MASKS),
    "seq2seq": (Seq2Seq(layers=1, width=16, dropout=0.0).build(**PAIRS).model, *TARGETS),
    "transformer": (Transformer(**TINY, dropout=0.0).build(**PAIRS).model, *TARGETS),
}


def measured(name: str) -> tuple:
    """The loss, the metrics, and the gradients of the loss."""
    model, more, loss, *metrics = CASES[name]
    batch = {**BATCH, **more}
    variables = variables_of(name)

    def objective(params: dict) -> tuple:
        outputs, _ = model.apply({"params": params}, batch, train=True, key=KEY)
        return loss(outputs, batch).total, [metric(outputs, batch).total for metric in metrics]

    return jax.jit(jax.value_and_grad(objective, has_aux=True))(variables["params"])


@functools.cache
def variables_of(name: str) -> dict:
    variables = initial(CASES[name][0].init, KEY, BATCH)
    return jax.tree.map(lambda x: x + 0.3 * normal(*x.shape), variables)


@pytest.mark.parametrize("name", [name if name == "llama" else rare(name) for name in CASES])
def test_losses_metrics_and_gradients_in_tiles_are_those_of_whole_logits(
    name: str, request: pytest.FixtureRequest
) -> None:
    expected = measured(name)
    request.getfixturevalue("small_tiles")
    found = measured(name)
    for got, whole in zip(jax.tree.leaves(found), jax.tree.leaves(expected), strict=True):
        np.testing.assert_allclose(got, whole, rtol=2e-4, atol=2e-5)


@pytest.mark.usefixtures("small_tiles")
@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_scores_are_the_formula(dtype: str) -> None:
    features, table, bias = normal(2, 3, 6).astype(dtype), normal(VOCAB, 6), normal(VOCAB)
    targets = integers(2, 3)
    found = Unscored(features, table, bias).scores(targets)
    x, rows = (np.asarray(a.astype(dtype), np.float64) for a in (features, table))
    whole = x @ rows.T + np.asarray(bias, np.float64)
    nats = np.log(np.exp(whole).sum(axis=-1, keepdims=True)) - whole
    chosen = np.take_along_axis(nats, np.asarray(targets)[..., None], axis=-1)[..., 0]
    np.testing.assert_allclose(found.nats, chosen, rtol=1e-5, atol=1e-5)
    tolerance = 1e-5 if dtype == "float32" else 1e-2
    np.testing.assert_allclose(found.even, nats.mean(axis=-1), rtol=tolerance)
    np.testing.assert_array_equal(found.best, whole.argmax(axis=-1))


@pytest.mark.usefixtures("small_tiles")
def test_of_equal_logits_the_first_is_the_best() -> None:
    table = jnp.zeros((VOCAB, 4)).at[jnp.array([3, 5, 9])].set(1.0)
    found = Unscored(jnp.ones((1, 2, 4)), table, None).scores(jnp.zeros((1, 2), jnp.int32))
    np.testing.assert_array_equal(found.best, [[3, 3]])


@pytest.mark.usefixtures("small_tiles")
def test_without_targets_there_are_logits() -> None:
    model, variables = CASES["bert"][0], variables_of("bert")
    found, _ = model.apply(variables, BATCH, train=False)
    assert found.shape == (2, 3, VOCAB)
    assert isinstance(
        model.apply(variables, {**BATCH, "targets": integers(2, 3)}, train=False)[0], Scores
    )


def loss_of(features: jax.Array, table: jax.Array, targets: jax.Array) -> tuple:
    batch = {"targets": targets, "weight": jnp.ones(targets.shape)}
    found = logits.against(features, table)
    found = found.scores(targets) if isinstance(found, Unscored) else found
    return next_token(found, batch).total, token_accuracy(found, batch).total


GRADIENTS = jax.value_and_grad(loss_of, (0, 1), has_aux=True)


def test_the_vocabulary_of_gpt_2_takes_less_than_a_quarter_of_the_memory(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    shapes = [
        jax.ShapeDtypeStruct((8, 1024, 768), jnp.float32),
        jax.ShapeDtypeStruct((50_257, 768), jnp.float32),
        jax.ShapeDtypeStruct((8, 1024), jnp.int32),
    ]

    def memory() -> int:
        compiled = jax.jit(lambda *arrays: GRADIENTS(*arrays)).lower(*shapes).compile()
        return compiled.memory_analysis().temp_size_in_bytes

    tiles = memory()
    monkeypatch.setattr(logits, "LARGE", 100_000)
    assert 0 < 4 * tiles < memory()


@pytest.mark.usefixtures("small_tiles")
@pytest.mark.parametrize("shape", [MeshShape(2, 2, 2), MeshShape(1, 1, 2, 4)], ids=str)
def test_tiles_are_split_over_a_mesh_like_whole_logits(shape: MeshShape) -> None:
    arrays = normal(8, 8, 6), normal(VOCAB + 1, 6), integers(8, 8)
    expected = GRADIENTS(*arrays)
    mesh = make_mesh(shape)
    rows = P(("data", "fsdp"), "sequence" if "sequence" in mesh.shape else None)
    specs = (rows, P("tensor"), rows)
    placed = [jax.device_put(a, NamedSharding(mesh, s)) for a, s in zip(arrays, specs, strict=True)]

    @jax.jit
    def split(*arrays: jax.Array) -> tuple:
        with jax.sharding.use_abstract_mesh(mesh.abstract_mesh):
            return GRADIENTS(*arrays)

    for got, whole in zip(jax.tree.leaves(split(*placed)), jax.tree.leaves(expected), strict=True):
        np.testing.assert_allclose(got, whole, rtol=1e-5, atol=1e-5)
