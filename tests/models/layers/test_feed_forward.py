"""The parts of a transformer's block that are neither attention nor a sum."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.test_util import check_grads
from scipy.special import erf, expit

from bigmodel.models.layers.feed_forward import FeedForward, residual_init
from bigmodel.models.layers.norm import LayerNorm, RmsNorm

FLOAT = jnp.dtype("float32")
X = jax.random.normal(jax.random.key(0), (2, 3, 6), jnp.float32)


def tanh_gelu(x):
    return 0.5 * x * (1 + np.tanh(np.sqrt(2 / np.pi) * (x + 0.044715 * x**3)))


FORMULAS = {
    "relu": lambda x: np.maximum(x, 0),
    "gelu": tanh_gelu,
    "squared_relu": lambda x: np.maximum(x, 0) ** 2,
}


def network(activation):
    module = FeedForward(8, activation, FLOAT, residual_init(2))
    return module, module.init(jax.random.key(1), X)


@pytest.mark.parametrize("activation", [*FORMULAS, "swiglu"])
def test_feed_forward_is_the_formula(activation):
    module, variables = network(activation)
    kernels = {n: np.asarray(p["kernel"], np.float64) for n, p in variables["params"].items()}
    x = np.asarray(X, np.float64)
    up = x @ kernels["up"]
    if activation == "swiglu":
        gate = x @ kernels["gate"]
        inner = gate * expit(gate) * up
    else:
        inner = FORMULAS[activation](up)
    np.testing.assert_allclose(module.apply(variables, X), inner @ kernels["down"], atol=1e-5)


def test_gelu_is_within_a_thousandth_of_the_exact_one():
    x = np.linspace(-4, 4, 81)
    np.testing.assert_allclose(jax.nn.gelu(x), 0.5 * x * (1 + erf(x / np.sqrt(2))), atol=1e-3)


@pytest.mark.parametrize("activation", ["gelu", "swiglu"])
def test_gradient_of_feed_forward_is_that_of_finite_differences(activation):
    module, variables = network(activation)
    check_grads(jax.jit(module.apply), (variables, X), order=1, modes=["rev"], rtol=1e-2)


def test_branches_of_all_layers_together_add_the_variance_of_one():
    total = 0.0
    for layer in range(2 * 50):
        kernel = residual_init(50)(jax.random.key(layer), (64, 64), jnp.float32)
        total += 64 * float(jnp.var(kernel))
    assert total == pytest.approx(1.0, rel=0.02)


@pytest.mark.parametrize("norm", [LayerNorm, RmsNorm])
def test_norm_is_the_formula(norm):
    module = norm(FLOAT)
    variables = module.init(jax.random.key(0), X)
    params = jax.tree.map(
        lambda p: 1.0 + jax.random.normal(jax.random.key(2), p.shape, p.dtype), variables
    )["params"]
    x = np.asarray(X, np.float64)
    if norm is LayerNorm:
        x = x - x.mean(-1, keepdims=True)
    scaled = x / np.sqrt((x**2).mean(-1, keepdims=True) + 1e-6) * np.asarray(params["scale"])
    expected = scaled + np.asarray(params.get("bias", 0.0))
    np.testing.assert_allclose(module.apply({"params": params}, X), expected, atol=1e-5)
    check_grads(
        jax.jit(lambda p, x: module.apply({"params": p}, x)),
        (params, X),
        order=1,
        modes=["rev"],
        rtol=1e-2,
    )
