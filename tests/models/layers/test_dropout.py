import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from bigmodel.models.layers.dropout import NUMBERS, Dropout

X = np.random.default_rng(0).normal(size=(500, 400)).astype(np.float32)


def apply(module: nn.Module, x=X, *, variables=None, key: int = 1, **options) -> np.ndarray:
    rngs = {"dropout": jax.random.key(key)}
    return np.asarray(module.apply(variables or {}, x, rngs=rngs, **options))


def variables_of(rate: float):
    return Dropout(rate, deterministic=True).init(jax.random.key(0), X)


@pytest.mark.parametrize("rate", [0.1, 0.5, 0.9])
def test_entries_are_zero_with_the_rate_and_others_are_scaled_up(rate: float) -> None:
    out = apply(Dropout(rate, deterministic=False), variables=variables_of(rate))
    dropped = out == 0
    # Within five standard errors of a proportion.
    assert dropped.mean() == pytest.approx(rate, abs=5 * (rate * (1 - rate) / X.size) ** 0.5)
    np.testing.assert_allclose(out[~dropped], X[~dropped] / (1 - rate), rtol=1e-6)


@pytest.mark.parametrize("variables", [{}, variables_of(0.3)], ids=["constant", "variable"])
def test_what_is_dropped_is_what_linens_own_drops(variables) -> None:
    ours = apply(Dropout(0.3, deterministic=False), variables=variables)
    np.testing.assert_allclose(ours, apply(nn.Dropout(0.3, deterministic=False)), rtol=1e-6)


def test_deterministic_and_a_rate_of_0_change_nothing() -> None:
    np.testing.assert_array_equal(apply(Dropout(0.5, deterministic=True)), X)
    np.testing.assert_array_equal(apply(Dropout(0.5), deterministic=True), X)
    np.testing.assert_array_equal(apply(Dropout(0.0, deterministic=False)), X)


def test_the_rate_of_the_variable_decides_and_not_that_of_the_module() -> None:
    assert variables_of(0.3) == {NUMBERS: {"rate": np.float32(0.3)}}
    assert variables_of(0.0) == {}
    other = apply(Dropout(0.3, deterministic=False), variables=variables_of(0.6))
    own = apply(Dropout(0.6, deterministic=False), variables=variables_of(0.6))
    np.testing.assert_array_equal(other, own)


def test_rates_are_one_program_and_no_dropout_is_another() -> None:
    def lowered(rate: float) -> str:
        def step(variables, key):
            return Dropout(rate, deterministic=False).apply(variables, X, rngs={"dropout": key})

        return jax.jit(step).lower(variables_of(rate), jax.random.key(0)).as_text()

    assert lowered(0.1) == lowered(0.7) != lowered(0.0)


def test_the_dtype_is_kept_and_the_gradient_is_the_mask_scaled() -> None:
    half = jnp.asarray(X, jnp.bfloat16)
    assert apply(Dropout(0.5, deterministic=False), half).dtype == half.dtype
    module = Dropout(0.5, deterministic=False)
    gradient = jax.grad(
        lambda x: module.apply(variables_of(0.5), x, rngs={"dropout": jax.random.key(1)}).sum()
    )(X)
    np.testing.assert_array_equal(gradient, np.where(apply(module) == 0, 0, 2))
