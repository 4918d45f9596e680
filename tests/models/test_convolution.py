import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import AxisType, NamedSharding
from jax.sharding import PartitionSpec as P
from jax.test_util import check_grads

from bigmodel.models.convolution import Conv, by_patches, by_xla, convolve
from bigmodel.models.pooling import max_pool

RNG = np.random.default_rng(0)


def normal(*shape):
    return RNG.normal(size=shape).astype(np.float32)


CASES = [
    (size, stride, padding)
    for size, stride in ((1, 1), (1, 2), (3, 1), (3, 2), (4, 3))
    for padding in ("SAME", "VALID")
]


@pytest.mark.parametrize(("size", "stride", "padding"), CASES)
def test_the_matrix_product_has_xlas_values_and_gradients(size, stride, padding):
    x, kernel = normal(2, 9, 8, 3), normal(size, size, 3, 4)

    def both(way):
        out, pull = jax.vjp(lambda x, k: way(x, k, stride=stride, padding=padding), x, kernel)
        return out, pull(jnp.cos(jnp.arange(out.size, dtype=jnp.float32)).reshape(out.shape))

    chex.assert_trees_all_close(both(by_patches), both(by_xla), rtol=1e-4, atol=1e-4)


def test_gradients_are_those_of_finite_differences():
    check_grads(convolve, (normal(1, 4, 4, 2), normal(3, 3, 2, 2)), order=2, rtol=1e-2)


def test_convolve_is_one_function_under_jit_and_vmap():
    x, kernels = normal(2, 6, 6, 3), normal(4, 3, 3, 3, 5)
    expected = np.stack([by_xla(x, k, stride=1, padding="SAME") for k in kernels])
    got = jax.jit(jax.vmap(convolve, in_axes=(None, 0)))(x, kernels)
    np.testing.assert_allclose(got, expected, rtol=1e-4, atol=1e-5)


def test_convolve_of_a_batch_over_eight_devices_is_that_of_one():
    mesh = jax.make_mesh((8,), ("data",), axis_types=(AxisType.Auto,))
    x, kernel = normal(16, 6, 6, 3), normal(3, 3, 3, 4)

    @jax.jit
    def gradient(kernel, x):
        return jax.grad(lambda k: jnp.sum(jnp.sin(convolve(x, k))))(kernel)

    sharded = jax.device_put(x, NamedSharding(mesh, P("data")))
    whole = jax.device_put(kernel, NamedSharding(mesh, P()))
    np.testing.assert_allclose(gradient(whole, sharded), gradient(kernel, x), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("use_bias", [True, False])
def test_the_layer_is_the_convolution_and_its_bias(use_bias):
    layer = Conv(4, size=3, stride=2, padding="VALID", use_bias=use_bias)
    x = normal(2, 7, 7, 3)
    params = layer.init(jax.random.key(0), x)["params"]
    assert set(params) == ({"kernel", "bias"} if use_bias else {"kernel"})
    params = jax.tree.map(lambda p: normal(*p.shape), params)
    expected = np.asarray(by_xla(x, params["kernel"], stride=2, padding="VALID"))
    if use_bias:
        expected = expected + params["bias"].reshape(1, 1, 1, 4)
    np.testing.assert_allclose(layer.apply({"params": params}, x), expected, rtol=1e-4, atol=1e-5)


def test_the_layer_computes_in_its_dtype_with_float32_parameters():
    layer = Conv(4, dtype=jnp.bfloat16)
    out, variables = layer.init_with_output(jax.random.key(0), normal(1, 5, 5, 2))
    assert out.dtype == jnp.bfloat16
    assert {p.dtype for p in jax.tree.leaves(variables)} == {jnp.dtype(jnp.float32)}


@pytest.mark.parametrize("shape", [(2, 4, 6, 3), (2, 5, 7, 3), (1, 2, 2, 1)])
def test_max_pool_is_the_windowed_maximum_and_its_gradient(shape):
    def windowed(x):
        return jax.lax.reduce_window(x, -jnp.inf, jax.lax.max, (1, 2, 2, 1), (1, 2, 2, 1), "VALID")

    x = normal(*shape)
    np.testing.assert_array_equal(max_pool(x), windowed(x))
    gradients = [
        jax.grad(lambda x, pool=pool: jnp.sum(jnp.sin(pool(x))))(x) for pool in (max_pool, windowed)
    ]
    np.testing.assert_allclose(*gradients, rtol=1e-6)
