"""What tests compare with: formulas in NumPy and finite differences."""

import jax
import numpy as np
from jax.test_util import check_grads
from scipy.special import erf


def exact(tree):
    """The arrays of a tree in float64."""
    return jax.tree.map(lambda x: np.asarray(x, np.float64), tree)


def value(mean):
    return float(mean.total / mean.count)


def silu(x):
    return x / (1 + np.exp(-x))


def gelu(x):
    return 0.5 * x * (1 + np.tanh(np.sqrt(2 / np.pi) * (x + 0.044715 * x**3)))


def gelu_exact(x):
    return 0.5 * x * (1 + erf(x / np.sqrt(2)))


def softmax(x):
    weights = np.exp(x)
    return weights / weights.sum(axis=-1, keepdims=True)


def dense(p, x):
    return x @ p["kernel"] + p.get("bias", 0)


def layer_norm(p, x, epsilon=1e-6):
    return rms_norm(p, x - x.mean(axis=-1, keepdims=True), epsilon)


def rms_norm(p, x, epsilon=1e-6):
    inverse = 1 / np.sqrt((x**2).mean(axis=-1, keepdims=True) + epsilon)
    return x * inverse * p["scale"] + p.get("bias", 0)


def check_gradients(function, *arguments, rtol=1e-2, **options):
    """The gradient of a function is that of finite differences."""
    check_grads(jax.jit(function), arguments, order=1, modes=["rev"], rtol=rtol, **options)
