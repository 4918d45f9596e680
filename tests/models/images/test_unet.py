import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from initial import initial

from bigmodel.models.images.unet import Block, GroupNorm, PixelAttention, Unet

SMALL = {"widths": (4, 8), "conditional": True}


def batch(shape: tuple[int, int, int] = (8, 8, 1), rows: int = 3) -> dict[str, np.ndarray]:
    random = np.random.default_rng(0)
    return {
        "image": random.standard_normal((rows, *shape)).astype(np.float32),
        "time": np.linspace(0.1, 0.9, rows, dtype=np.float32),
        "label": np.arange(rows, dtype=np.int32),
    }


def made(model, given, *, seed: int = 0) -> dict:
    """Variables all of which are random, so that what starts at zero is seen as well."""
    shapes = jax.eval_shape(model.init, jax.random.key(0), given)
    leaves, tree = jax.tree.flatten(shapes)
    random = np.random.default_rng(seed)
    drawn = [0.3 * random.standard_normal(x.shape).astype(np.float32) for x in leaves]
    return jax.tree.unflatten(tree, drawn)


@pytest.mark.parametrize(
    ("dtype", "shape"),
    [
        ("float32", (8, 8, 1)),
        ("float32", (7, 10, 3)),
        ("float32", (1, 3, 1)),
        ("bfloat16", (8, 8, 1)),
    ],
    ids=str,
)
def test_any_size_of_image_gives_one_like_it(shape: tuple, dtype: str) -> None:
    model = Unet(**SMALL, attention=True, dtype=dtype).build(3)
    given = batch(shape)
    found, _ = jax.jit(functools.partial(model.apply, train=True))(made(model, given), given)
    assert found.shape == given["image"].shape
    assert found.dtype == jnp.float32
    assert np.isfinite(found).all()


def test_an_untrained_network_says_zero() -> None:
    model = Unet(**SMALL).build(3)
    variables = initial(model.init, jax.random.key(0), batch())
    found, _ = jax.jit(functools.partial(model.apply, train=False))(variables, batch())
    np.testing.assert_array_equal(found, 0)


def test_images_are_looked_at_one_by_one_with_their_time_and_class() -> None:
    model = Unet(**SMALL, attention=True).build(3)
    given = batch()
    variables = made(model, given)
    apply = jax.jit(functools.partial(model.apply, train=False))
    together, _ = apply(variables, given)
    for i in range(3):
        alone = {name: array[i : i + 1] for name, array in given.items()}
        found, _ = apply(variables, alone)
        np.testing.assert_allclose(found[0], together[i], rtol=1e-3, atol=1e-4)
        for name in ("time", "label"):
            other, _ = apply(variables, {**alone, name: alone[name] * 0 + 1})
            assert np.allclose(other, found, atol=1e-4) == bool(alone[name] == 1)


def test_a_class_that_is_not_told_is_no_class() -> None:
    given = {**batch(), "label": np.full(3, -1, np.int32)}
    told, untold = Unet(**SMALL).build(3), Unet(widths=(4, 8)).build(3)
    variables = made(told, given)
    params = {k: v for k, v in variables["params"].items() if k != "class"}
    found, expected = (
        jax.jit(functools.partial(model.apply, train=False))(one, given)[0]
        for model, one in ((told, variables), (untold, {"params": params}))
    )
    np.testing.assert_allclose(found, expected, rtol=1e-6)


def test_group_norm_is_the_formula() -> None:
    x = np.random.default_rng(0).standard_normal((2, 3, 5, 12)).astype(np.float32) * 3 + 1
    variables = GroupNorm().init(jax.random.key(0), jnp.asarray(x))
    groups = x.astype(np.float64).reshape(2, 15, 2, 6)
    mean, variance = (f(groups, axis=(1, 3), keepdims=True) for f in (np.mean, np.var))
    expected = ((groups - mean) / np.sqrt(variance + 1e-6)).reshape(x.shape)
    np.testing.assert_allclose(
        GroupNorm().apply(variables, jnp.asarray(x)), expected, rtol=1e-4, atol=1e-5
    )


def test_blocks_that_were_not_trained_change_nothing() -> None:
    x = jax.random.normal(jax.random.key(1), (2, 4, 4, 8))
    block = Block(8, 0.0, jnp.dtype("float32"))
    condition = np.ones((2, 6), np.float32)
    init, apply = (functools.partial(f, train=False) for f in (block.init, block.apply))
    variables = initial(init, jax.random.key(0), x, condition)
    np.testing.assert_array_equal(jax.jit(apply)(variables, x, condition), x)
    attention = PixelAttention(2, jnp.dtype("float32"))
    variables = attention.init(jax.random.key(0), x)
    np.testing.assert_array_equal(attention.apply(variables, x), x)
