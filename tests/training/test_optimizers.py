import re
import typing

import chex
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from bigmodel.experiment import InputError
from bigmodel.training.optimizers import Name, Optimizer, kept, moving_average

NAMES = typing.get_args(Name)
PARAMS = {
    "hidden": {
        "kernel": jnp.asarray(np.random.default_rng(0).normal(size=(4, 3)), jnp.float32),
        "bias": jnp.ones(3, jnp.float32),
    }
}
GRADIENTS = jax.tree.map(lambda p: jnp.cos(p * 7.0), PARAMS)


def first_update(optimizer: Optimizer, steps: int = 10) -> dict:
    transform = optimizer.transform(steps)
    return transform.update(GRADIENTS, transform.init(PARAMS), PARAMS)[0]


@pytest.mark.parametrize("name", NAMES)
def test_every_optimizer_minimises_a_quadratic(name: str) -> None:
    transform = Optimizer(name, learning_rate=0.1, schedule="constant").transform(200)
    target = jax.tree.map(lambda p: p * 0.0 + 0.5, PARAMS)

    def loss(params):
        squares = jax.tree.map(lambda p, t: jnp.sum((p - t) ** 2), params, target)
        return sum(jax.tree.leaves(squares))

    def step(now, _):
        params, state = now
        updates, state = transform.update(jax.grad(loss)(params), state, params)
        return (optax.apply_updates(params, updates), state), None

    @jax.jit
    def minimised(params):
        return jax.lax.scan(step, (params, transform.init(params)), length=200)[0][0]

    assert loss(minimised(PARAMS)) < 0.05 * loss(PARAMS)


@pytest.mark.parametrize("name", ["momentum", "nesterov", "adam", "adamw", "lion", "muon"])
def test_first_moments_in_bfloat16_move_parameters_as_those_in_float32(name: str) -> None:
    options = {"name": name, "learning_rate": 0.1, "schedule": "constant"}
    found = []
    for dtype in ("float32", "bfloat16"):
        transform = Optimizer(**options, moment_dtype=dtype).transform(10)
        _, state = transform.update(GRADIENTS, transform.init(PARAMS), PARAMS)
        updates, state = transform.update(PARAMS, state, PARAMS)
        found.append((updates, [leaf.dtype.name for leaf in jax.tree.leaves(state)]))
    (exact, wide), (rough, narrow) = found
    # Of Adam, the second moments of both parameters are left; of Muon, that of the vector.
    second = {"adam": 2, "adamw": 2, "muon": 2}.get(name, 0)
    assert ("bfloat16" in wide, narrow.count("float32")) == (False, second)
    assert narrow.count("bfloat16") == 2
    assert {leaf.dtype.name for leaf in jax.tree.leaves(rough)} == {"float32"}
    if name != "lion":  # of which signs may turn
        chex.assert_trees_all_close(rough, exact, rtol=0.05, atol=2e-3)


def test_what_is_kept_in_bfloat16_is_rounded_at_random_and_right_on_average() -> None:
    values = jnp.full((100_000,), 1.0 + 2**-10, jnp.float32)
    found = kept({"w": values}, like={"w": values.astype(jnp.bfloat16)}, key=jax.random.key(0))["w"]
    assert {*np.unique(found.astype(jnp.float32))} == {1.0, 1.0 + 2**-7}
    assert np.mean(found.astype(jnp.float32)) == pytest.approx(1.0 + 2**-10, abs=1e-4)
    special = jnp.array([jnp.inf, -jnp.inf, jnp.nan, 0.0, -1.5], jnp.float32)
    narrow = special.astype(jnp.bfloat16)
    found = kept(special, like=narrow, key=jax.random.key(0)).astype(jnp.float32)
    np.testing.assert_array_equal(found, special)
    assert kept(special, like=special, key=jax.random.key(0)) is special


@pytest.mark.parametrize(
    ("name", "direction"),
    [
        ("sgd", lambda g: g),
        ("momentum", lambda g: g),
        ("nesterov", lambda g: 1.9 * g),
        ("rmsprop", np.sign),
        ("adagrad", lambda g: g / np.sqrt(g * g + 0.1)),
        ("adam", np.sign),
        ("adamw", np.sign),
        ("lion", np.sign),
    ],
)
def test_first_update_is_the_formula(name: str, direction) -> None:
    found = first_update(Optimizer(name, learning_rate=0.5, schedule="constant"))
    for update, gradient in zip(jax.tree.leaves(found), jax.tree.leaves(GRADIENTS), strict=True):
        np.testing.assert_allclose(update, -0.5 * direction(np.asarray(gradient)), rtol=1e-4)


def test_muon_makes_matrices_orthogonal_and_moves_vectors_like_adam() -> None:
    found = first_update(Optimizer("muon", learning_rate=1.0, schedule="constant"))["hidden"]
    singular = np.linalg.svd(np.asarray(found["kernel"]), compute_uv=False)
    assert singular.max() / singular.min() < 1.8
    assert np.sqrt(np.mean(np.square(found["kernel"]))) == pytest.approx(0.2, rel=0.3)
    np.testing.assert_allclose(found["bias"], -np.sign(GRADIENTS["hidden"]["bias"]), rtol=1e-4)


@pytest.mark.parametrize("axis", ["stacked", "experts", "members"])
def test_muon_moves_each_layer_expert_and_member_as_if_it_were_alone(axis: str) -> None:
    gradients = GRADIENTS["hidden"]
    stack = jax.tree.map(lambda g: jnp.stack([g, g[::-1]]), gradients)
    transform = Optimizer("muon", learning_rate=1.0, schedule="constant").transform(10)

    @jax.jit
    def update(tree: dict) -> dict:
        return transform.update(tree, transform.init(tree), tree)[0]

    found = update({axis: stack})[axis]
    for layer in range(2):
        alone = update(jax.tree.map(lambda leaf, at=layer: leaf[at], stack))
        chex.assert_trees_all_close(
            jax.tree.map(lambda leaf, at=layer: leaf[at], found), alone, rtol=1e-4
        )


def test_muon_iterates_matrices_of_one_shape_together_to_what_optax_makes_of_each() -> None:
    shapes = {"a": (4, 6), "b": (6, 4), "stacked/c": (3, 4, 6), "conv": (2, 2, 4, 3), "d": (4, 4)}
    params, rng = zeros(shapes), np.random.default_rng(1)
    gradients = {path: jnp.asarray(rng.normal(size=shape), jnp.float32)
                 for path, shape in shapes.items()}  # fmt: skip
    transform = Optimizer("muon", learning_rate=1.0, schedule="constant").transform(10)

    def update(gradients: dict, state: optax.OptState) -> tuple[dict, optax.OptState]:
        return transform.update(gradients, state, params)

    found, after = update(gradients, transform.init(params))
    found, _ = update(jax.tree.map(jnp.cos, gradients), after)
    each = optax.contrib.scale_by_muon(beta=0.9)
    for path, shape in shapes.items():
        matrices = [
            gradient.reshape(-1, shape[-1])
            for gradient in (gradients[path] if path == "stacked/c" else [gradients[path]])
        ]
        for at, matrix in enumerate(matrices):
            with jax.numpy_dtype_promotion("standard"):
                _, state = each.update(matrix, each.init(matrix))
                expected, _ = each.update(jnp.cos(matrix), state)
            got = -(found[path][at] if path == "stacked/c" else found[path]).reshape(matrix.shape)
            scale = 0.2 * max(matrix.shape) ** 0.5
            np.testing.assert_allclose(got, scale * expected, rtol=1e-4, atol=1e-5)
    # Five iterations of three products for each of the shapes 4x6, 3x16 and 4x4.
    compiled = jax.jit(update).lower(gradients, after).compile().as_text()
    assert len(re.findall(r" dot\(", compiled)) == 5 * 3 * 3


def test_muon_is_for_matrices_but_for_embeddings_positions_and_heads_by_exact_components() -> None:
    shapes = {
        "multihead/query/kernel": (4, 6), "embedder/kernel": (4, 6), "heads/kernel": (4, 6),
        "position_wise/up/kernel": (4, 6), "subheading/kernel": (4, 6),
    }  # fmt: skip
    others = {"head/kernel": (4, 6), "encoder/embedding": (4, 6), "position": (4, 6), "cls": (6,)}
    params = zeros({**shapes, **others})
    gradients = jax.tree.map(lambda p: jnp.asarray(np.random.default_rng(1).normal(size=p.shape),
                                                   jnp.float32), params)  # fmt: skip
    transform = Optimizer("muon", learning_rate=1.0, schedule="constant").transform(10)
    found = transform.update(gradients, transform.init(params), params)[0]
    for path, update in found.items():
        adam = np.allclose(update, -np.sign(gradients[path]), rtol=1e-3)
        assert adam == (path in others), path


@pytest.mark.parametrize("name", NAMES)
def test_decay_is_decoupled_and_spares_biases(name: str) -> None:
    options = {"learning_rate": 0.5, "schedule": "constant"}
    plain = first_update(Optimizer(name, **options))["hidden"]
    decayed = first_update(Optimizer(name, weight_decay=0.1, **options))["hidden"]
    expected = plain["kernel"] - 0.5 * 0.1 * PARAMS["hidden"]["kernel"]
    np.testing.assert_allclose(decayed["kernel"], expected, rtol=1e-5, atol=1e-7)
    np.testing.assert_array_equal(decayed["bias"], plain["bias"])


def zeros(paths: dict[str, tuple[int, ...]]) -> dict:
    """Parameters of these shapes, each under its path, which is not nested here."""
    return {path: jnp.zeros(shape, jnp.float32) for path, shape in paths.items()}


def test_what_has_less_than_two_dimensions_does_not_decay() -> None:
    shapes = {
        "block/kernel": (4, 4), "positions": (6, 4), "embedding/embedding": (9, 4),
        "block/bias": (4,), "norm/scale": (4,), "class_token": (4,), "times": (6,), "shift": (),
        "stacked/block/kernel": (2, 4, 4), "stacked/block/bias": (2, 4),
        "members/head/kernel": (3, 4, 4), "members/class_token": (3, 4),
        "stacked/experts/up/kernel": (2, 3, 4, 4), "stacked/experts/up/bias": (2, 3, 4),
    }  # fmt: skip
    decaying = {name for name, decays in Optimizer().decays(zeros(shapes)).items() if decays}
    assert decaying == {name for name in shapes if name.endswith(("kernel", "embedding"))} | {
        "positions"
    }


def test_patterns_say_otherwise_what_decays() -> None:
    params = zeros({"block/kernel": (4, 4), "block/bias": (4,), "head/kernel": (4, 4)})
    found = Optimizer(decay=("kernel$", "bias$"), no_decay=("^head/",)).decays(params)
    assert found == {"block/kernel": True, "block/bias": True, "head/kernel": False}
    for options, option in (
        ({"decay": ("head", "hat")}, "decay"),
        ({"no_decay": ("hat",)}, "no-decay"),
    ):
        with pytest.raises(InputError, match=f"--optimizer.{option} hat finds no parameter"):
            Optimizer(**options).decays(params)


def test_clipping_bounds_the_global_norm() -> None:
    found = first_update(Optimizer("sgd", learning_rate=1.0, schedule="constant", clip=0.01))
    assert optax.tree.norm(found) == pytest.approx(0.01, rel=1e-5)


@pytest.mark.parametrize("schedule", ["constant", "cosine", "linear"])
def test_schedules_warm_up_and_end_where_they_should(schedule) -> None:
    options = {"learning_rate": 2.0, "schedule": schedule, "final_fraction": 0.1}
    rate = Optimizer(warmup_steps=10, **options).learning_rate_schedule(110)
    rates = np.array([float(rate(step)) for step in range(111)])
    np.testing.assert_allclose(rates[:10], 2.0 * np.arange(1, 11) / 10, rtol=1e-6)
    assert rates.argmax() <= 10
    progress = np.arange(101) / 100
    expected = {
        "constant": np.full(101, 2.0),
        "linear": 2.0 - 1.8 * progress,
        "cosine": 0.2 + 1.8 * (1 + np.cos(np.pi * progress)) / 2,
    }[schedule]
    np.testing.assert_allclose(rates[10:], expected, rtol=1e-5)


def test_moving_average_is_the_formula() -> None:
    average, value = {"w": jnp.zeros(2, jnp.float32)}, {"w": jnp.ones(2, jnp.float32)}
    expected = 0.0
    for step in range(40):
        average = moving_average(average, value, decay=0.7, step=jnp.asarray(step, jnp.int32))
        decay = min(0.7, (1 + step) / (10 + step))
        expected = decay * expected + (1 - decay)
    np.testing.assert_allclose(average["w"], expected, rtol=1e-5)


@pytest.mark.parametrize(
    "options",
    [
        {"learning_rate": -1.0},
        {"learning_rate": float("nan")},
        {"learning_rate": float("inf")},
        {"weight_decay": -0.1},
        {"accumulate": 0},
        {"ema": 1.5},
        {"clip": float("nan")},
        {"decay": ("(",)},
    ],
)
def test_values_that_no_optimizer_can_use_are_refused(options) -> None:
    field = next(iter(options)).replace("_", "-")
    with pytest.raises(InputError, match=field):
        Optimizer(**options)
