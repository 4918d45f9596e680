import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from formulas import value
from jax.sharding import PartitionSpec as P
from scipy.special import softmax

from bigmodel.experiment import Data, InputError, Model
from bigmodel.models.images.cnn import ConvNet
from bigmodel.partition import spec_of
from bigmodel.training.classification import classifier
from bigmodel.training.ensemble import (
    Ensemble,
    Members,
    classifiers,
    log_mean_probability,
    one_member,
    per_member,
    regressors,
)
from bigmodel.training.metrics import accuracy, cross_entropy
from bigmodel.training.optimizers import Optimizer
from bigmodel.tree import named_leaves

RNG = np.random.default_rng(0)
KEY = jax.random.key(0)
LOGITS = (3 * RNG.normal(size=(4, 6, 3))).astype(np.float32)
BATCH = jax.device_put(
    {
        "image": RNG.normal(size=(6, 4, 4, 1)).astype(np.float32),
        "label": RNG.integers(0, 3, 6).astype(np.int32),
        "weight": np.asarray([1, 1, 1, 1, 0, 0], np.float32),
    }
)
THREE = Ensemble(members=3)


@pytest.fixture(scope="module")
def network():
    """With dropout and with batch normalization, whose statistics are a member's own too."""
    return ConvNet(widths=(4,), convolutions=(1,), dense=(5,), dropout=0.5, batch_norm=True).build(
        3
    )


def test_a_member_learns_as_if_it_were_alone():
    loss = per_member(cross_entropy)
    alone = [value(cross_entropy(jnp.asarray(member), BATCH)) for member in LOGITS]
    outputs = Members(jnp.asarray(LOGITS))
    assert value(loss(outputs, BATCH)) == pytest.approx(np.mean(alone), rel=1e-6)
    together = jax.grad(lambda x: loss(Members(x), BATCH).total)(LOGITS)
    for member, gradient in zip(LOGITS, together, strict=True):
        expected = jax.grad(lambda x: cross_entropy(x, BATCH).total)(member)
        np.testing.assert_allclose(gradient, expected, rtol=1e-5, atol=1e-7)


def test_the_combination_is_the_mean_of_probabilities_also_where_logits_are_large():
    expected = softmax(LOGITS.astype(np.float64), axis=-1).mean(0)
    found = jnp.exp(log_mean_probability(jnp.asarray(LOGITS)))
    np.testing.assert_allclose(found, expected, rtol=1e-5)
    large = jnp.asarray([[[1000.0, 0.0]], [[0.0, 1000.0]]], jnp.float32)
    np.testing.assert_allclose(log_mean_probability(large), np.log([[0.5, 0.5]]), rtol=1e-6)


def test_members_start_apart_drop_apart_and_predict_together(network):
    model = classifiers(network, THREE)
    variables = model.init(KEY, BATCH)
    members = [one_member(variables, n) for n in range(3)]
    own = [network.apply(member, BATCH, train=False)[0] for member in members]
    assert not np.allclose(own[0], own[1])
    found, updates = model.apply(variables, BATCH, train=False)
    expected = softmax(np.asarray(own, np.float64), axis=-1).mean(0)
    np.testing.assert_allclose(np.exp(found), expected, rtol=1e-4)
    assert updates == {}
    same = jax.tree.map(lambda leaf: jnp.broadcast_to(leaf[:1], leaf.shape), variables)
    trained, updates = model.apply(same, BATCH, train=True, key=KEY)
    assert not np.allclose(trained.outputs[0], trained.outputs[1])
    assert jax.tree.structure(updates["batch_stats"]) == jax.tree.structure(same["batch_stats"])


def test_convolutions_of_members_are_one_after_the_other_on_cpus():
    # The second one reads what is each member's own.
    two = ConvNet(widths=(4, 5), convolutions=(1, 1), dense=()).build(3)
    model = classifiers(two, THREE)

    def loss(variables):
        outputs, _ = model.apply(variables, BATCH, train=True, key=KEY)
        return per_member(cross_entropy)(outputs, BATCH).total

    variables = jax.eval_shape(model.init, KEY, BATCH)
    program = jax.jit(jax.grad(loss)).lower(variables).as_text()
    groups = re.findall(r"(?:feature|batch)_group_count = (\d+)", program)
    assert groups
    assert set(groups) == {"1"}


def test_predictions_of_regressors_are_averaged():
    weights = Model(
        lambda key, _: {"params": {"w": jax.random.normal(key, (4,), jnp.float32)}},
        lambda variables, batch, **_: (batch["x"] @ variables["params"]["w"], {}),
        ((r"^w$", P("fsdp")),),
    )
    model = regressors(weights, THREE)
    variables = model.init(KEY, {})
    w, x = np.asarray(variables["params"]["members"]["w"]), RNG.normal(size=(5, 4))
    found, _ = model.apply(variables, {"x": x.astype(np.float32)}, train=False)
    np.testing.assert_allclose(found, x @ w.mean(0), rtol=1e-4, atol=1e-5)
    assert spec_of(model.partition, "opt_state/0/mu/members/w", 2) == P(None, "fsdp")


def test_one_member_is_the_model_itself_and_every_parameter_of_more_has_its_rule(network):
    assert classifiers(network, Ensemble()) is network
    alone = jax.eval_shape(lambda: network.init(KEY, BATCH))["params"]
    model = classifiers(network, THREE)
    for path, leaf in named_leaves(alone).items():
        spec = spec_of(network.partition, path, leaf.ndim)
        assert spec_of(model.partition, f"members/{path}", leaf.ndim + 1) == P(None, *spec)


def test_an_experiment_of_members_trains_them_and_evaluates_what_they_predict_together(network):
    data = Data(lambda *_: BATCH, {"test": [BATCH]}, 6, 1, "")
    optimizer = Optimizer("muon", learning_rate=0.01)
    experiment = classifier(network, data, "abc", optimizer, steps=3, ensemble=THREE)
    state = experiment.init(KEY)
    after, metrics, _ = jax.jit(experiment.train_step)(state, BATCH, KEY)
    assert float(metrics["loss"].count) == 3 * 4
    for path, leaf in named_leaves(after.params).items():
        moved = np.abs(np.asarray(leaf - named_leaves(state.params)[path])).max(
            axis=tuple(range(1, leaf.ndim))
        )
        assert path.endswith("conv_0/bias") or (moved > 0).all(), path
    measured = experiment.eval_step(after, BATCH)
    predicted, _ = classifiers(network, THREE).apply(after.evaluated, BATCH, train=False)
    assert value(measured["accuracy"]) == value(accuracy(predicted, BATCH))
    assert value(measured["loss"]) == pytest.approx(value(cross_entropy(predicted, BATCH)))


def test_no_members_are_refused():
    with pytest.raises(InputError, match=r"--ensemble.members 0"):
        Ensemble(members=0)
