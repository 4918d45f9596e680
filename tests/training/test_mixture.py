from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from formulas import check_gradients, value

from bigmodel.training.metrics import next_token
from bigmodel.training.mixture import expert_load, load_balance, of_mixture

BATCH, TIME, LAYERS, EXPERTS, VOCAB = 2, 5, 3, 4, 7


class Outputs(NamedTuple):
    logits: jax.Array
    probabilities: jax.Array
    chosen: jax.Array


@pytest.fixture
def outputs():
    rng = np.random.default_rng(0)
    scores = jnp.asarray(rng.normal(size=(BATCH, TIME, LAYERS, EXPERTS)), jnp.float32)
    probabilities = jax.nn.softmax(scores, axis=-1)
    chosen = (probabilities >= jnp.sort(probabilities, axis=-1)[..., -2:-1]).astype(jnp.float32)
    logits = jnp.asarray(rng.normal(size=(BATCH, TIME, VOCAB)), jnp.float32)
    return Outputs(logits, probabilities, chosen)


@pytest.fixture
def batch():
    rng = np.random.default_rng(1)
    weight = np.ones((BATCH, TIME), np.float32)
    weight[1, 3:] = 0
    targets = rng.integers(0, VOCAB, (BATCH, TIME)).astype(np.int32)
    return jax.device_put({"targets": targets, "weight": weight})


def plain_balance(outputs, batch):
    """One layer and expert at a time, over the tokens that are not padding."""
    real = batch["weight"] > 0
    layers = []
    for layer in range(LAYERS):
        probabilities = np.asarray(outputs.probabilities)[real][:, layer]
        chosen = np.asarray(outputs.chosen)[real][:, layer]
        terms = [chosen[:, e].sum() / chosen.sum() * probabilities[:, e].mean() for e in range(4)]
        layers.append(EXPERTS * sum(terms))
    return np.mean(layers)


def test_load_balance_is_the_formula_and_padding_does_not_count(outputs, batch):
    expected = plain_balance(outputs, batch)
    assert value(load_balance(outputs, batch)) == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize(("busy", "balance", "load"), [(1, 4.0, 4.0), (2, 2.0, 2.0), (4, 1.0, 1.0)])
def test_balance_and_load_are_one_where_even_and_grow_as_fewer_experts_work(
    outputs, batch, busy, balance, load
):
    even = np.zeros((BATCH, TIME, LAYERS, EXPERTS), np.float32)
    even[..., :busy] = 1 / busy
    found = outputs._replace(probabilities=jnp.asarray(even), chosen=jnp.asarray(even))
    for metric, expected in ((load_balance, balance), (expert_load, load)):
        assert value(metric(found, batch)) == pytest.approx(expected, rel=1e-5)


def test_expert_load_is_that_of_the_busiest_expert_of_all_layers(outputs, batch):
    sums = np.asarray(outputs.chosen)[batch["weight"] > 0].sum(axis=0)
    expected = (sums / sums.mean(axis=1, keepdims=True)).max()
    assert value(expert_load(outputs, batch)) == pytest.approx(expected, rel=1e-5)


def test_balanced_loss_is_the_loss_and_the_weighted_balance(outputs, batch):
    plain = next_token(outputs.logits, batch)
    loss, metrics = of_mixture(next_token, {"other": next_token}, balance=0.3)
    expected = value(plain) + 0.3 * plain_balance(outputs, batch)
    assert value(loss(outputs, batch)) == pytest.approx(expected, rel=1e-5)
    assert metrics["other"](outputs, batch) == metrics["nats"](outputs, batch) == plain
    assert metrics.keys() == {"other", "nats", "load_balance", "expert_load"}


def test_gradient_of_the_balance_is_that_of_finite_differences(outputs, batch):
    def balance(probabilities):
        return load_balance(outputs._replace(probabilities=probabilities), batch).total

    check_gradients(balance, outputs.probabilities)
