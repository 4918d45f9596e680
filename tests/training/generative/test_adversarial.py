import dataclasses
import re
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from initial import initial
from jax.sharding import PartitionSpec as P

from bigmodel.experiment import Data, Experiment, InputError, Mean, Model
from bigmodel.models.images.dcgan import Dcgan
from bigmodel.training.generative.adversarial import adversarial
from bigmodel.training.optimizers import Optimizer
from bigmodel.tree import named_leaves

BATCH, LATENT = 8, 3
STILL = Optimizer("sgd", learning_rate=0.0, schedule="constant")
MOVING = Optimizer("sgd", learning_rate=0.1, schedule="constant")
AVERAGED = Optimizer("sgd", learning_rate=0.1, schedule="constant", ema=0.5)


def batch(step: int, *, rows: int = BATCH) -> dict[str, np.ndarray]:
    image = np.random.default_rng(step).random((BATCH, 8, 8, 1), np.float32)
    weight = (np.arange(BATCH) < rows).astype(np.float32)
    return {"image": image, "weight": weight}


def data() -> Data:
    splits = {"test": [batch(100), batch(101, rows=5)]}
    return Data(lambda _, step: batch(step), splits, BATCH, 10, "")


def gan(generator: Optimizer = MOVING, discriminator: Optimizer = MOVING, **options: Any) -> Any:
    models = Dcgan(latent=LATENT, widths=(4, 6)).build((8, 8, 1), 10)
    settings = {"latent": LATENT, "steps": 10, "features": lambda x: x.reshape(x.shape[0], -1)}
    return adversarial(*models, generator, discriminator, data(), **(settings | options))


def step(experiment: Experiment, state: Any, rows: int = BATCH) -> tuple[Any, dict, Any]:
    return jax.jit(experiment.train_step)(state, batch(0, rows=rows), jax.random.key(1))


def same(a: Any, b: Any) -> bool:
    return all(jax.tree.leaves(jax.tree.map(lambda x, y: bool(jnp.array_equal(x, y)), a, b)))


def value(mean: Any) -> float:
    return float(mean.total / mean.count)


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
    experiment = adversarial(
        *linear(), MOVING, MOVING, small, latent=LATENT, steps=10, features=lambda x: x, r1=r1
    )
    before = initial(experiment.init, jax.random.key(0))
    after, metrics, gradients = jax.jit(experiment.train_step)(before, given, jax.random.key(1))
    latents = drawn(jax.random.split(jax.random.key(1), 4)[0])
    a, w = np.full(LATENT, 2.0), np.array([0.5, -1.0, 0.25])
    x, z, fake = image[:6].astype(np.float64), latents[:6], latents[:6] * a
    sigmoid = lambda s: 1 / (1 + np.exp(-s))  # noqa: E731
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
    experiment = adversarial(
        *linear(), MOVING, MOVING, small, latent=LATENT, steps=10, features=lambda x: x,
        loss="wasserstein", gradient_penalty=2.0, critic_steps=3,
    )  # fmt: skip
    before = initial(experiment.init, jax.random.key(0))
    after, metrics, _ = jax.jit(experiment.train_step)(before, given, jax.random.key(1))
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
    whole, single = gan(critic_steps=3).data, data()
    assert whole.batch_size == 3 * single.batch_size
    joined = np.concatenate([single.train(0, step)["image"] for step in (3, 4, 5)])
    np.testing.assert_array_equal(whole.train(0, 1)["image"], joined)


def test_conditional_networks_read_the_label_of_each_image() -> None:
    labelled = data()._replace(train=lambda _, step: labels(batch(step)), splits={})
    models = Dcgan(latent=LATENT, widths=(4, 6), conditional=True).build((8, 8, 1), 3)
    experiment = adversarial(
        *models, MOVING, MOVING, labelled, latent=LATENT, steps=10, features=lambda x: x
    )
    state = initial(experiment.init, jax.random.key(0))
    train_step = jax.jit(experiment.train_step)
    _, one, _ = train_step(state, labels(batch(0)), jax.random.key(1))
    _, other, _ = train_step(state, labels(batch(0), shift=1), jax.random.key(1))
    assert value(one["loss"]) != value(other["loss"])


def labels(given: dict[str, np.ndarray], *, shift: int = 0) -> dict[str, np.ndarray]:
    return {**given, "label": ((np.arange(BATCH) + shift) % 3).astype(np.int32)}


@pytest.mark.parametrize("moves", ["generator", "discriminator"])
def test_an_update_of_one_leaves_the_other_alone(moves: str) -> None:
    options = {"generator": STILL, "discriminator": STILL} | {moves: MOVING}
    experiment = gan(**options)
    before = initial(experiment.init, jax.random.key(0))
    after, _, _ = step(experiment, before)
    for name in options:
        assert same(before.params[name], after.params[name]) == (name != moves)


def test_a_step_is_a_function_of_state_batch_and_key() -> None:
    experiment = gan(AVERAGED)
    state = initial(experiment.init, jax.random.key(0))
    assert same(step(experiment, state), step(experiment, state))


def test_padding_never_counts() -> None:
    experiment = gan(r1=0.5)
    state = initial(experiment.init, jax.random.key(0))
    short = batch(0, rows=5)
    wild = {**short, "image": np.where(short["weight"].reshape(-1, 1, 1, 1) > 0, short["image"], 9)}
    train_step = jax.jit(experiment.train_step)
    _, metrics, gradients = train_step(state, short, jax.random.key(1))
    _, others, other_gradients = train_step(state, wild, jax.random.key(1))
    assert metrics["loss"].count == 5
    assert value(metrics["loss"]) == pytest.approx(value(others["loss"]), rel=1e-6)
    jax.tree.map(
        lambda x, y: np.testing.assert_allclose(x, y, rtol=1e-4, atol=1e-6),
        gradients,
        other_gradients,
    )


def test_batch_statistics_change_in_training_and_not_in_evaluation() -> None:
    experiment = gan()
    before = initial(experiment.init, jax.random.key(0))
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
    state = initial(averaged.init, jax.random.key(0))
    raw, _, _ = step(plain, initial(plain.init, jax.random.key(0)))
    after, _, _ = step(averaged, state)
    # The first step of the average has decay min(0.5, 1 / 10).
    expected = jax.tree.map(lambda x, y: 0.1 * x + 0.9 * y, state.evaluated, raw.evaluated)
    jax.tree.map(
        lambda x, y: np.testing.assert_allclose(x, y, rtol=1e-5, atol=1e-7),
        after.evaluated,
        expected,
    )
    assert same(after.params, raw.params)


def test_evaluation_gives_the_distance_over_all_examples() -> None:
    experiment = gan()
    state = initial(experiment.init, jax.random.key(0))
    splits = experiment.data.splits["test"]
    parts = [jax.jit(experiment.eval_step)(state, given) for given in splits]
    measured = {
        name: Mean(sum(p[name].total for p in parts), sum(p[name].count for p in parts))
        for name in parts[0]
    }
    assert float(sum(part["real_mean"].count for part in parts)) == 13
    real = np.concatenate([given["image"][given["weight"] > 0].reshape(-1, 64) for given in splits])
    mean = measured["real_mean"]
    np.testing.assert_allclose(mean.total / mean.count, real.mean(0), rtol=1e-5)
    assert experiment.summarize(measured)["frechet_distance"] > 0


def test_latents_of_a_split_are_fixed_and_differ_between_batches() -> None:
    one, other = gan().data.splits["test"], gan().data.splits["test"]
    np.testing.assert_array_equal(one[1]["latent"], other[1]["latent"])
    assert one[0]["latent"].shape == (BATCH, LATENT)
    assert not np.array_equal(one[0]["latent"], one[1]["latent"])
    np.testing.assert_array_equal(one[-1]["latent"], one[1]["latent"])
    assert len(one[:]) == len(one) == 2


def test_rules_of_one_network_do_not_reach_into_the_other() -> None:
    generator, discriminator = linear()
    both = (
        generator._replace(partition=((r"kernel$", P("fsdp")),)),
        discriminator._replace(partition=((r"kernel$", P()),)),
    )
    experiment = adversarial(
        *both, MOVING, MOVING, data(), latent=LATENT, steps=1, features=lambda x: x
    )

    def spec(path: str) -> P:
        return next(spec for pattern, spec in experiment.partition if re.search(pattern, path))

    for before in ("", "params/", "opt_state/"):
        assert spec(f"{before}generator/0/mu/up_0/kernel") == P("fsdp")
        assert spec(f"{before}discriminator/0/mu/up_0/kernel") == P()


def test_every_parameter_has_a_gradient() -> None:
    experiment = gan(r1=0.5)
    _, _, gradients = step(experiment, initial(experiment.init, jax.random.key(0)))
    zero = [path for path, leaf in named_leaves(gradients).items() if not np.any(leaf)]
    assert zero == []


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
