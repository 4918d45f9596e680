"""Sums of clipped gradients against a loop over the examples."""

from collections.abc import Callable
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import PartitionSpec as P
from rare import rare

from bigmodel.experiment import Mean, Model
from bigmodel.models import Bert, ConvNet, Gpt, Mlp, Rnn, linen
from bigmodel.models.layers.dense import Dense
from bigmodel.training.ensemble import Ensemble, classifiers, per_member
from bigmodel.training.metrics import cross_entropy, next_token
from bigmodel.training.privacy.accounting import Mechanism
from bigmodel.training.privacy.clipping import clipped_sum
from bigmodel.training.privacy.private import noisy_gradients
from bigmodel.training.privacy.products import evaluate, products_in
from bigmodel.tree import named_leaves

RNG = np.random.default_rng(0)
SIZE, TIME, KEY = 8, 12, jax.random.key(7)


class Odd(nn.Module):
    """Products of all kinds: strides, dilation, batches, both sides, one read twice, a table."""

    @nn.compact
    def __call__(self, x: jax.Array, train: bool) -> jax.Array:
        del train
        pixels = x[..., 0]
        x = nn.Conv(5, (3, 2), strides=(2, 1), padding="VALID", kernel_dilation=(1, 2))(x)
        x = nn.tanh(x).reshape(x.shape[0], -1, 5)
        several = self.param("several", nn.initializers.normal(), (5, 4, 3), jnp.float32)
        x = jnp.einsum("btc,cde->btde", x, several)
        each = self.param("each", nn.initializers.normal(), (4, 3, 3), jnp.float32)
        x = jnp.einsum("btde,def->btdf", x, each)
        left = self.param("left", nn.initializers.normal(), (6, 3), jnp.float32)
        x = jnp.einsum("ge,btde->gbtd", left, nn.tanh(x)).transpose(1, 2, 3, 0).mean(axis=1)
        table = nn.Embed(2, 6, name="table")
        x += table((pixels > 0).astype(jnp.int32)).mean(axis=(1, 2))[:, None]
        both = Dense(6, name="both")
        return both(nn.tanh(both(x))).reshape(x.shape[0], -1)


def images(shape: tuple[int, ...]) -> dict[str, Any]:
    image = RNG.normal(size=(SIZE, *shape)).astype(np.float32)
    return {"image": image, "label": RNG.integers(0, 3, SIZE).astype(np.int32)}


def tokens() -> dict[str, Any]:
    ids = RNG.integers(0, 5, (SIZE, TIME + 1)).astype(np.int32)
    length = RNG.integers(1, TIME, SIZE).astype(np.int32)
    label = RNG.integers(0, 3, SIZE).astype(np.int32)
    return {"tokens": ids[:, :-1], "targets": ids[:, 1:], "length": length, "label": label}


NARROW: dict[str, Any] = {"layers": 1, "width": 8, "heads": 2}
CNN = ConvNet(widths=(4, 6), dense=(16,))
CASES: dict[str, tuple[Callable[[], Model], dict[str, Any], Any]] = {
    "cnn": (lambda: CNN.build(3), images((8, 8, 1)), cross_entropy),
    "bert": (
        lambda: Bert(**NARROW, dropout=0.1).classifier(3, vocab_size=5, context=TIME),
        tokens(),
        cross_entropy,
    ),
    "odd": (
        lambda: linen.model(Odd(), partition=((".*", P()),)),
        images((9, 8, 2)),
        cross_entropy,
    ),
    "gpt": (lambda: Gpt(**NARROW).build(vocab_size=5, context=TIME), tokens(), next_token),
    "members": (
        lambda: classifiers(Mlp(widths=(8,)).build(3), Ensemble(3)),
        {"features": RNG.normal(size=(SIZE, 4)).astype(np.float32), **images(())},
        per_member(cross_entropy),
    ),
    "rnn": (
        lambda: Rnn(width=6, layers=1).build(3),
        {
            "sequence": RNG.normal(size=(SIZE, TIME, 3)).astype(np.float32),
            "length": np.full(SIZE, TIME, np.int32),
            **images(()),
        },
        cross_entropy,
    ),
}


def objective_of(name: str) -> tuple[Any, Any, dict[str, Any]]:
    """The loss of a case, its parameters, and a batch with two rows of padding."""
    build, batch, loss = CASES[name]
    model = build()
    weight = np.ones(SIZE, np.float32)
    weight[[1, 5]] = 0
    shape = batch["targets"].shape if loss is next_token else (SIZE,)
    weight = np.broadcast_to(weight.reshape(-1, *(1,) * (len(shape) - 1)), shape)
    batch = {**batch, "weight": np.array(weight)}
    variables = dict(model.init(jax.random.key(0), batch))
    params = variables.pop("params")
    # So that biases and what begins with zeros have gradients that matter.
    random = np.random.default_rng(1)
    params = jax.tree.map(lambda p: p + 0.1 * random.normal(size=p.shape).astype(p.dtype), params)

    def objective(params: Any, _: Any, batch: Any, key: Any) -> Any:
        outputs, updates = model.apply({"params": params, **variables}, batch, train=True, key=key)
        mean = loss(outputs, batch)
        return mean, {"loss": mean}, updates

    return objective, params, batch


@pytest.mark.parametrize(
    ("name", "microbatch"),
    [
        ("odd", 4),
        *(rare(name, 4) for name in ("cnn", "bert", "gpt", "rnn")),
        rare("members", 1),
        rare("members", 8),
    ],
)
def test_clipped_gradients_are_those_of_a_loop_over_the_examples(
    name: str, microbatch: int
) -> None:
    objective, params, batch = objective_of(name)
    how = Mechanism(1.0, 1e-5, 0.5, 0.0, 0.1, 80, 10, SIZE, microbatch)
    gradients = jax.jit(lambda p, batch: noisy_gradients(how, 6)(objective, p, {}, batch, KEY)[:2])
    found, metrics = gradients(params, batch)
    keys = jax.random.split(KEY, SIZE)

    def mean(params: Any, one: Any, key: Any) -> Any:
        value, _, _ = objective(params, {}, one, key)
        return value.total / value.count

    of_one = jax.jit(jax.grad(mean))
    total = jax.tree.map(jnp.zeros_like, params)
    for row in (0, 2, 3, 4, 6, 7):
        example = {name: array[row : row + 1] for name, array in batch.items()}
        one = of_one(params, example, keys[row])
        norm = np.sqrt(sum(float(jnp.sum(leaf * leaf)) for leaf in jax.tree.leaves(one)))
        total = jax.tree.map(lambda t, g, n=norm: t + g * min(1.0, 0.5 / n), total, one)
    expected = jax.tree.map(lambda leaf: leaf / 6, total)
    assert 0 < float(metrics["clipped"].total) <= float(metrics["clipped"].count) == 6
    largest = max(float(jnp.max(jnp.abs(leaf))) for leaf in jax.tree.leaves(expected))
    jax.tree.map(
        lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-5 * largest),
        found,
        expected,
    )


def test_noise_is_in_proportion_to_the_clip_and_drawn_once() -> None:
    def objective(params: Any, _: Any, batch: Any, __: Any) -> Any:
        mean = Mean(jnp.sum(0 * params["a"]) + jnp.sum(0 * params["b"]), jnp.sum(batch["weight"]))
        return mean, {"loss": mean}, {}

    params = {name: jnp.zeros((40, 50), jnp.float32) for name in "ab"}
    how = Mechanism(1.0, 1e-5, 0.25, 3.0, 0.1, 80, 10, SIZE, 2)
    batch = {"weight": np.ones(SIZE, np.float32)}
    noisy, _, _ = noisy_gradients(how, 6)(objective, params, {}, batch, KEY)
    every = np.concatenate([np.ravel(leaf) for leaf in noisy.values()]) * 6 / (3.0 * 0.25)
    error = 1 / np.sqrt(len(every))
    assert every.std() == pytest.approx(1.0, abs=4 * error)
    assert abs(every.mean()) < 4 * error
    assert len(np.unique(every)) > 0.99 * len(every)


def test_an_example_without_a_finite_gradient_counts_as_none() -> None:
    params = {"kernel": jnp.ones((3, 2), jnp.float32)}

    def loss(params: Any, x: Any) -> Any:
        return jnp.sum(jnp.square(x @ params["kernel"])), {"value": x[0]}

    x = jnp.array([[1, 2, 3], [np.inf, 0, 0], [np.nan, 1, 1], [1e30, 1, 1]], jnp.float32)
    real = jnp.ones(4, bool)
    found, measured, _ = clipped_sum(loss, params, x, real, clip=1.0)
    expected, _, norms = clipped_sum(loss, params, x[:1], real[:1], clip=1.0)
    np.testing.assert_array_equal(found["kernel"], expected["kernel"])
    assert float(jnp.linalg.norm(found["kernel"])) == pytest.approx(1.0)
    assert float(norms[0]) > 1
    assert float(measured["value"]) == 1


def test_kernels_and_embeddings_are_found_and_those_read_twice_are_not() -> None:
    def reads(name: str) -> set[str]:
        build, batch, _ = CASES[name]
        model = build()
        params = jax.eval_shape(model.init, jax.random.key(0), batch)["params"]
        one = {name: array[:1] for name, array in batch.items()}

        def outputs(params: Any, one: Any) -> Any:
            return model.apply({"params": params}, one, train=False, key=None)[0]

        program = jax.make_jaxpr(outputs)(params, one)
        paths = list(named_leaves(params))
        inline = jax.make_jaxpr(lambda *leaves: evaluate(program, leaves))
        program = inline(*jax.tree.leaves((params, one)))
        return {paths[product.leaf] for product in products_in(program, len(paths))}

    assert reads("cnn") == {
        *(f"blocks_{i}/conv_{n}/kernel" for i in (0, 1) for n in (0, 1)),
        "dense/kernel",
        "head/kernel",
    }
    bert = reads("bert")
    assert {"encoder/embedding/embedding", "head/kernel"} <= bert
    assert "encoder/blocks_0/feed_forward/up/kernel" in bert
    assert reads("odd") == {"Conv_0/kernel", "several", "each", "left", "table/embedding"}
