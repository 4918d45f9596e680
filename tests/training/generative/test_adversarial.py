import dataclasses
import re
from itertools import combinations
from typing import Any

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from formulas import value
from initial import initial
from jax.sharding import PartitionSpec as P
from scipy.special import expit as sigmoid

from bigmodel.experiment import WHOLE, Data, Experiment, InputError, Model
from bigmodel.models.images.dcgan import Dcgan
from bigmodel.training.generative.adversarial import adversarial
from bigmodel.training.optimizers import Optimizer

BATCH, LATENT = 8, 3
MOVING = Optimizer("sgd", learning_rate=0.1, schedule="constant")
AVERAGED = Optimizer("sgd", learning_rate=0.1, schedule="constant", ema=0.5)


def batch(step: int, *, rows: int = BATCH) -> dict[str, np.ndarray]:
    image = np.random.default_rng(step).random((BATCH, 8, 8, 1), np.float32)
    weight = (np.arange(BATCH) < rows).astype(np.float32)
    return {"image": image, "weight": weight}


def data() -> Data:
    splits = {"test": [batch(100), batch(101, rows=5)]}
    return Data(lambda _, step, *_rows: batch(step), splits, BATCH, 10, "")


DCGAN = Dcgan(latent=LATENT, widths=(4, 6))


def gan(
    generator: Optimizer = MOVING,
    discriminator: Optimizer = MOVING,
    *,
    models: Any = DCGAN.build((8, 8, 1), 10),
    data: Data = data(),
    **options: Any,
) -> Experiment:
    settings = {"latent": LATENT, "steps": 10, "features": lambda x: x.reshape(x.shape[0], -1)}
    return adversarial(*models, generator, discriminator, data, **settings, **options)


def begun(experiment: Experiment) -> Any:
    return initial(experiment.init, jax.random.key(0))


def step(experiment: Experiment, state: Any, rows: int = BATCH) -> tuple[Any, dict, Any]:
    return jax.jit(experiment.train_step)(state, batch(0, rows=rows), jax.random.key(1))


def same(a: Any, b: Any) -> bool:
    return all(jax.tree.leaves(jax.tree.map(lambda x, y: bool(jnp.array_equal(x, y)), a, b)))


def linear() -> tuple[Model, Model]:
    """G(z) = a z and D(x) = x . w, as pixels, so that all can be written down by hand."""
    generator = Model(
        lambda *_: {"params": {"a": jnp.full((LATENT,), 2.0)}},
        lambda v, batch, **_: (v["params"]["a"][None] * batch["latent"], {}),
        ((r"a$", P()),),
    )
    discriminator = Model(
        lambda *_: {"params": {"w": jnp.array([0.5, -1.0, 0.25])}},
        lambda v, batch, **_: (batch["image"] @ v["params"]["w"], {}),
        ((r"w$", P()),),
    )
    return generator, discriminator


def drawn(key: jax.Array) -> np.ndarray:
    """The latents that a generator gets with this key."""
    latents = jax.random.normal(jax.random.split(key)[0], (BATCH, LATENT), jnp.float32)
    return np.asarray(latents, np.float64)


@pytest.mark.parametrize("r1", [0.0, 0.7])
def test_a_step_follows_the_formulas(r1: float) -> None:
    image = np.random.default_rng(0).standard_normal((BATCH, LATENT), np.float32)
    weight = (np.arange(BATCH) < 6).astype(np.float32)
    given = {"image": image, "weight": weight}
    small = Data(lambda *_: given, {}, BATCH, 1, "")
    experiment = gan(models=linear(), data=small, r1=r1)
    train_step = jax.jit(experiment.train_step)
    after, metrics, gradients = train_step(begun(experiment), given, jax.random.key(1))
    latents = drawn(jax.random.split(jax.random.key(1), 4)[0])
    a, w = np.full(LATENT, 2.0), np.array([0.5, -1.0, 0.25])
    x, z, fake = image[:6].astype(np.float64), latents[:6], latents[:6] * a
    loss = np.mean(-np.log(sigmoid(x @ w)) - np.log(1 - sigmoid(fake @ w)))
    slope = (-sigmoid(-x @ w)[:, None] * x + sigmoid(fake @ w)[:, None] * fake).mean(0) + r1 * w
    np.testing.assert_allclose(value(metrics["loss"]), loss, rtol=1e-5)
    np.testing.assert_allclose(gradients["discriminator"]["w"], slope, rtol=1e-4)
    np.testing.assert_allclose(after.params["discriminator"]["w"], w - 0.1 * slope, rtol=1e-5)
    w = w - 0.1 * slope
    slope = (-sigmoid(-fake @ w)[:, None] * w * z).mean(0)
    np.testing.assert_allclose(
        value(metrics["generator_loss"]), np.mean(-np.log(sigmoid(fake @ w))), rtol=1e-5
    )
    np.testing.assert_allclose(gradients["generator"]["a"], slope, rtol=1e-4)
    np.testing.assert_allclose(after.params["generator"]["a"], a - 0.1 * slope, rtol=1e-5)


def test_a_wasserstein_step_follows_the_formulas() -> None:
    given = {
        "image": np.random.default_rng(0).standard_normal((3 * BATCH, LATENT), np.float32),
        "weight": np.ones(3 * BATCH, np.float32),
    }
    small = Data(lambda *_: {n: x[:BATCH] for n, x in given.items()}, {}, BATCH, 1, "")
    options = {"loss": "wasserstein", "gradient_penalty": 2.0, "critic_steps": 3}
    experiment = gan(models=linear(), data=small, **options)
    train_step = jax.jit(experiment.train_step)
    after, metrics, _ = train_step(begun(experiment), given, jax.random.key(1))
    keys = jax.random.split(jax.random.key(1), 4)
    criticisms = [jax.random.split(key)[0] for key in jax.random.split(keys[3], 2)]
    # The parts of a batch take turns row by row: the last update is on the first part.
    real = given["image"].astype(np.float64).reshape(BATCH, 3, LATENT).swapaxes(0, 1)
    a, w = np.full(LATENT, 2.0), np.array([0.5, -1.0, 0.25])
    for x, key in zip((real[1], real[2], real[0]), (*criticisms, keys[0]), strict=True):
        fake, length = drawn(key) * a, np.linalg.norm(w)
        loss = np.mean(fake @ w) - np.mean(x @ w)
        slope = fake.mean(0) - x.mean(0) + 2.0 * 2 * (length - 1) * w / length
        w = w - 0.1 * slope
    np.testing.assert_allclose(value(metrics["loss"]), loss, rtol=1e-4)
    np.testing.assert_allclose(after.params["discriminator"]["w"], w, rtol=1e-4)
    a = a + 0.1 * (w * drawn(keys[0])).mean(0)
    np.testing.assert_allclose(after.params["generator"]["a"], a, rtol=1e-5)


def test_each_update_of_the_critic_has_a_batch_of_its_own() -> None:
    given = data()
    single = given._replace(train=lambda seed, step, rows=WHOLE: {
        name: array[rows] for name, array in given.train(seed, step).items()
    })  # fmt: skip
    whole = gan(critic_steps=3, data=single).data
    assert whole.batch_size == 3 * single.batch_size
    joined = np.concatenate([single.train(0, step)["image"] for step in (3, 4, 5)])
    np.testing.assert_array_equal(whole.train(0, 1)["image"], joined)
    for start, stop in combinations(range(whole.batch_size + 1), 2):
        np.testing.assert_array_equal(
            whole.train(0, 1, slice(start, stop))["image"], joined[start:stop]
        )


def test_conditional_networks_read_the_label_of_each_image() -> None:
    labelled = data()._replace(train=lambda _, step, *_rows: labels(batch(step)), splits={})
    models = dataclasses.replace(DCGAN, conditional=True).build((8, 8, 1), 3)
    experiment = gan(models=models, data=labelled)
    state = begun(experiment)
    train_step = jax.jit(experiment.train_step)
    _, one, _ = train_step(state, labels(batch(0)), jax.random.key(1))
    _, other, _ = train_step(state, labels(batch(0), shift=1), jax.random.key(1))
    assert value(one["loss"]) != value(other["loss"])


def labels(given: dict[str, np.ndarray], *, shift: int = 0) -> dict[str, np.ndarray]:
    return {**given, "label": ((np.arange(BATCH) + shift) % 3).astype(np.int32)}


def test_padding_never_counts() -> None:
    experiment = gan(r1=0.5)
    state = begun(experiment)
    short = batch(0, rows=5)
    wild = {**short, "image": np.where(short["weight"].reshape(-1, 1, 1, 1) > 0, short["image"], 9)}
    train_step = jax.jit(experiment.train_step)
    _, metrics, gradients = train_step(state, short, jax.random.key(1))
    _, others, other_gradients = train_step(state, wild, jax.random.key(1))
    assert metrics["loss"].count == 5
    assert value(metrics["loss"]) == pytest.approx(value(others["loss"]), rel=1e-6)
    chex.assert_trees_all_close(gradients, other_gradients, rtol=1e-4, atol=1e-6)


def test_batch_statistics_change_in_training_and_not_in_evaluation() -> None:
    experiment = gan()
    before = begun(experiment)
    after, _, _ = step(experiment, before)
    assert not same(before.variables["generator"], after.variables["generator"])
    given = experiment.data.splits["test"][0]
    evaluate = jax.jit(experiment.eval_step)
    first = evaluate(before, given)
    assert same(first, evaluate(before, given))
    mixed = dataclasses.replace(before, variables=after.variables)
    assert not same(first, evaluate(mixed, given))


def test_the_moving_average_is_what_is_evaluated() -> None:
    plain, averaged = gan(), gan(AVERAGED)
    state = begun(averaged)
    raw, _, _ = step(plain, begun(plain))
    after, _, _ = step(averaged, state)
    # The first step of the average has decay min(0.5, 1 / 10).
    expected = jax.tree.map(lambda x, y: 0.1 * x + 0.9 * y, state.evaluated, raw.evaluated)
    chex.assert_trees_all_close(after.evaluated, expected, rtol=1e-5, atol=1e-7)
    assert same(after.params, raw.params)


def test_evaluation_gives_the_distance_over_all_examples() -> None:
    experiment = gan()
    state = begun(experiment)
    splits = experiment.data.splits["test"]
    parts = [jax.jit(experiment.eval_step)(state, given) for given in splits]
    measured = jax.tree.map(np.add, *parts)
    mean = measured["real_mean"]
    assert float(mean.count) == 13
    real = np.concatenate([given["image"][given["weight"] > 0].reshape(-1, 64) for given in splits])
    np.testing.assert_allclose(mean.total / mean.count, real.mean(0), rtol=1e-5)
    assert experiment.summarize(measured)["frechet_distance"] > 0


def test_rules_of_one_network_do_not_reach_into_the_other() -> None:
    generator, discriminator = linear()
    both = (
        generator._replace(partition=((r"kernel$", P("fsdp")),)),
        discriminator._replace(partition=((r"kernel$", P()),)),
    )
    experiment = gan(models=both)

    def spec(path: str) -> P:
        return next(spec for pattern, spec in experiment.partition if re.search(pattern, path))

    for before in ("", "params/", "opt_state/"):
        assert spec(f"{before}generator/0/mu/up_0/kernel") == P("fsdp")
        assert spec(f"{before}discriminator/0/mu/up_0/kernel") == P()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"generator": Optimizer(accumulate=2)}, "accumulate"),
        ({"discriminator": Optimizer(ema=0.9)}, "ema"),
        ({"r1": -1.0}, "r1 is -1.0"),
        ({"gradient_penalty": float("nan")}, "gradient-penalty is nan"),
        ({"loss": "wasserstein"}, "needs bounded gradients"),
        ({"critic_steps": 0}, "critic-steps is 0"),
    ],
)
def test_options_without_a_meaning_are_refused(options: dict, message: str) -> None:
    with pytest.raises(InputError, match=message):
        gan(**options)
