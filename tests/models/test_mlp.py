from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from formulas import dense, exact, layer_norm, silu

from bigmodel.models.mlp import Mlp

RNG = np.random.default_rng(0)
KEY = jax.random.key(0)
BATCH = {"features": RNG.normal(size=(5, 3)).astype(np.float32)}
SMALL = Mlp(widths=(4, 4))
VARIANTS = {
    "plain": SMALL,
    "relu": replace(SMALL, activation="relu"),
    "tanh": replace(SMALL, activation="tanh"),
    "norm": replace(SMALL, norm="layer"),
    "residual": replace(SMALL, residual=True),
    "shortcut": replace(SMALL, shortcut=True),
    "linear": replace(SMALL, widths=()),
    "all": replace(SMALL, widths=(3, 4, 4), norm="layer", residual=True, shortcut=True),
}
each_variant = pytest.mark.parametrize("options", VARIANTS.values(), ids=VARIANTS)


def make(options, classes=2):
    model = options.build(classes)
    variables = model.init(KEY, BATCH)
    noise = jax.tree.map(lambda v: v + 0.1 * RNG.normal(size=v.shape).astype(v.dtype), variables)
    return model, noise


def formula(options, params, x):
    """The network in NumPy, float64."""
    activations = {"relu": lambda z: np.maximum(z, 0), "silu": silu, "tanh": np.tanh}
    first = x = np.asarray(x, np.float64)
    for n in range(len(options.widths)):
        y = dense(params[f"dense_{n}"], x)
        if options.norm == "layer":
            y = layer_norm(params[f"norm_{n}"], y)
        y = activations[options.activation](y)
        x = x + y if options.residual and x.shape == y.shape else y
    out = dense(params["head"], x)
    return out + dense(params["shortcut"], first) if options.shortcut else out


@each_variant
def test_the_network_is_the_formula(options):
    model, variables = make(options)
    out, updates = model.apply(variables, BATCH, train=False)
    assert (out.shape, out.dtype, updates) == ((5, 2), jnp.float32, {})
    expected = formula(options, exact(variables["params"]), BATCH["features"])
    np.testing.assert_allclose(out, expected, rtol=1e-4, atol=1e-5)


def test_without_classes_there_is_one_number_for_each_row():
    model, variables = make(SMALL, None)
    assert model.apply(variables, BATCH, train=False)[0].shape == (5,)
