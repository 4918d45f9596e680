"""Steps that are not finite are skipped as a whole, up to so many in a row."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import PartitionSpec as P

from bigmodel.experiment import Data, InputError, Model
from bigmodel.training.generative.adversarial import adversarial
from bigmodel.training.metrics import cross_entropy
from bigmodel.training.optimizers import Optimizer
from bigmodel.training.supervision import supervised

RNG = np.random.default_rng(0)
GOOD = {
    "image": RNG.normal(size=(8, 6)).astype(np.float32),
    "label": RNG.integers(0, 3, 8).astype(np.int32),
    "weight": np.ones(8, np.float32),
}
TWICE = Optimizer("adam", learning_rate=0.1, ema=0.9, skip_nonfinite=2)


def broken(batch):
    image = batch["image"].copy()
    image[1] = np.inf
    return {**batch, "image": image}


def apply(variables, batch, *, train, key):
    del key
    kernel, seen = variables["params"]["kernel"], variables["batch_stats"]["mean"]
    mean = jnp.mean(batch["image"], axis=0)
    updates = {"batch_stats": {"mean": 0.5 * (seen + mean)}} if train else {}
    return (batch["image"] - (mean if train else seen)[None]) @ kernel, updates


def init(key, batch):
    del batch
    kernel = jax.random.normal(key, (6, 3), jnp.float32)
    return {"params": {"kernel": kernel}, "batch_stats": {"mean": jnp.zeros(6, jnp.float32)}}


def classifying(optimizer):
    data = Data(lambda *_: GOOD, {}, 8, 1, "")
    model = Model(init, apply, ((".*", P()),))
    return supervised(model, cross_entropy, {}, optimizer, data, steps=10)


def generating(optimizer):
    generator = Model(
        lambda *_: {"params": {"a": jnp.full((6,), 2.0)}},
        lambda variables, batch, **_: (variables["params"]["a"][None] * batch["latent"], {}),
        ((".*", P()),),
    )
    discriminator = Model(
        lambda *_: {"params": {"w": jnp.full((6,), 0.5)}},
        lambda variables, batch, **_: (batch["image"] @ variables["params"]["w"], {}),
        ((".*", P()),),
    )
    data = Data(lambda *_: GOOD, {}, 8, 1, "")
    other = dataclasses.replace(optimizer, ema=None, skip_nonfinite=0)
    return adversarial(
        generator, discriminator, optimizer, other, data,
        latent=6, steps=10, features=lambda x: x, critic_steps=2,
    )  # fmt: skip


BUILDERS = {
    "supervised": lambda: classifying(TWICE),
    "accumulated": lambda: classifying(dataclasses.replace(TWICE, accumulate=4)),
    "adversarial": lambda: generating(TWICE),
}


def trained(experiment, batches):
    """The state, and after each step the metrics and whether loss and gradients are finite."""
    step, state, found = jax.jit(experiment.train_step), experiment.init(jax.random.key(0)), []
    for index, batch in enumerate(batches):
        state, metrics, gradients = step(state, batch, jax.random.key(index))
        watched = jax.tree.leaves([metrics["loss"].total, gradients, state.params])
        finite = all(np.isfinite(leaf).all() for leaf in watched)
        found.append((metrics, finite))
    return state, found


@pytest.mark.parametrize("build", BUILDERS.values(), ids=BUILDERS)
def test_a_skipped_step_changes_nothing_and_is_counted(build):
    experiment = build()
    good = experiment.data.train(0, 0)
    bad = broken(good)
    before, _ = trained(experiment, [good])
    after, (_, *found) = trained(experiment, [good, bad, bad])
    uncounted = [dataclasses.replace(state, skipped=None) for state in (before, after)]
    for old, new in zip(*map(jax.tree.leaves, uncounted), strict=True):
        np.testing.assert_array_equal(old, new)
    for count, (metrics, finite) in enumerate(found, start=1):
        assert finite
        assert (float(metrics["loss"].total), float(metrics["loss"].count)) == (0, 0)
        assert float(metrics["skipped"].total) == count


def test_one_more_in_a_row_is_not_skipped_and_a_finite_step_begins_a_new_row():
    bad = broken(GOOD)
    _, found = trained(classifying(TWICE), [bad, bad, GOOD, bad, bad, bad])
    assert [finite for _, finite in found] == [True] * 5 + [False]
    assert float(found[-2][0]["skipped"].total) == 4


def test_without_the_option_nothing_is_skipped():
    state, found = trained(classifying(Optimizer("adam")), [broken(GOOD)])
    assert not found[0][1]
    assert state.skipped is None


def test_what_cannot_be_skipped_is_refused():
    with pytest.raises(InputError, match="skip-nonfinite is -1"):
        Optimizer(skip_nonfinite=-1)
