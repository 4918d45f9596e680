from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from formulas import check_gradients, value
from initial import initial
from jax.sharding import PartitionSpec as P
from scipy.stats import multivariate_normal
from sklearn.decomposition import PCA

from bigmodel.experiment import Data, Experiment, InputError, Model, Rows
from bigmodel.training.generative.autoencoding import (
    Coded,
    autoencoding,
    coding,
    divergence,
    negative_elbo,
    pca_squared_error,
    pixel_error,
    reconstruction,
    sum_of_squares,
)
from bigmodel.training.optimizers import Optimizer

SHAPE = (3, 2, 1)
ROWS = 12


def batch(step: int = 0, *, rows: int = ROWS) -> dict[str, np.ndarray]:
    image = np.random.default_rng(step).random((ROWS, *SHAPE), np.float32)
    weight = (np.arange(ROWS) < rows).astype(np.float32)
    return {"image": image, "weight": weight, "label": (np.arange(ROWS) % 3).astype(np.int32)}


def data() -> Data:
    return Data(
        lambda _, step, *_rows: batch(step), {"test": [batch(9), batch(10, rows=5)]}, ROWS, 4, ""
    )


def linear(outputs: int) -> tuple[Model, Model]:
    """Codes ``image A`` and logits ``latent B``, so that all can be written down by hand."""
    random = np.random.default_rng(1)
    a, b = (random.standard_normal(size).astype(np.float32) for size in ((6, outputs), (2, 6)))
    rules = ((r".*", P()),)

    def encode(v: Any, given: Any, **_: Any) -> Any:
        return given["image"].reshape(-1, 6) @ v["params"]["a"], {}

    def decode(v: Any, given: Any, **_: Any) -> Any:
        return (given["latent"] @ v["params"]["b"]).reshape(-1, *SHAPE), {}

    def init(*_: Any) -> Any:
        return {"params": {"a": jnp.asarray(a), "b": jnp.asarray(b)}}

    return Model(init, encode, rules), Model(init, decode, rules)


def build(kind: Any, **options: Any) -> tuple[Model, Experiment]:
    model = coding(*linear(4 if kind == "variational" else 2), kind=kind, latents=2, noise=0.3)
    settings = {"kind": kind, "latents": 2, "steps": 10, "names": ("a", "b", "c")}
    return model, autoencoding(model, Optimizer(), data(), **(settings | options))


def coded() -> Coded:
    random = np.random.default_rng(3)
    code, log_variance = random.standard_normal((2, ROWS, 2)).astype(np.float32)
    logits = random.standard_normal((ROWS, *SHAPE)).astype(np.float32)
    return Coded(batch()["image"], jnp.asarray(code), jnp.asarray(log_variance), logits)


def test_errors_are_those_of_numpy_without_the_padding() -> None:
    given, found = batch(rows=7), coded()
    restored = 1 / (1 + np.exp(-np.asarray(found.logits, np.float64)))
    squares = np.square(restored - given["image"])[:7]
    assert value(pixel_error(found, given)) == pytest.approx(squares.mean(), rel=1e-5)
    expected = squares.sum((1, 2, 3)).mean()
    assert value(sum_of_squares(found, given)) == pytest.approx(expected, rel=1e-5)
    x = given["image"].astype(np.float64)
    nats = -(x * np.log(restored) + (1 - x) * np.log(1 - restored))[:7].sum((1, 2, 3)).mean()
    assert value(reconstruction(found, given)) == pytest.approx(nats, rel=1e-5)


def test_divergence_is_the_integral_over_the_latents() -> None:
    found = coded()
    one = {"weight": np.eye(ROWS, dtype=np.float32)[0]}
    mean, variance = np.asarray(found.code[0]), np.exp(np.asarray(found.log_variance[0]))
    grid = np.linspace(-12, 12, 601)
    points = np.stack(np.meshgrid(grid, grid), axis=-1)
    log_q = multivariate_normal(mean, np.diag(variance)).logpdf(points)
    log_p = multivariate_normal(np.zeros(2), np.eye(2)).logpdf(points)
    integral = np.sum(np.exp(log_q) * (log_q - log_p)) * (grid[1] - grid[0]) ** 2
    assert value(divergence(found, one)) == pytest.approx(integral, rel=1e-3)


def test_elbo_is_the_sum_of_both_and_its_gradients_agree_with_finite_differences() -> None:
    found, given = coded(), batch(rows=7)
    both = value(reconstruction(found, given)) + value(divergence(found, given))
    assert value(negative_elbo(found, given)) == pytest.approx(both, rel=1e-6)

    def total(code: Any, log_variance: Any, logits: Any) -> Any:
        return negative_elbo(Coded(found.given, code, log_variance, logits), given).total

    check_gradients(total, *found[1:], atol=1e-2)


def test_latents_are_random_in_training_and_fixed_in_evaluation() -> None:
    model, experiment = build("variational")
    state = initial(experiment.init, jax.random.key(0))
    given = jax.device_put(experiment.data.splits["test"][0])
    keys = jax.random.split(jax.random.key(1))
    one, other = (model.apply(state.evaluated, given, train=True, key=k)[0] for k in keys)
    assert not np.allclose(one.logits, other.logits)
    np.testing.assert_array_equal(one.code, other.code)
    still, _ = model.apply(state.evaluated, given, train=False, key=None)
    latent = still.code + np.exp(np.asarray(still.log_variance) / 2) * given["latent"]
    expected = np.asarray(latent) @ np.asarray(state.params["b"])
    np.testing.assert_allclose(still.logits.reshape(ROWS, 6), expected, rtol=1e-4, atol=1e-5)


def test_denoising_sees_noise_and_is_measured_by_the_clean_image() -> None:
    model, experiment = build("denoising")
    state = initial(experiment.init, jax.random.key(0))
    given = jax.device_put(experiment.data.splits["test"][0])
    found, _ = model.apply(state.evaluated, given, train=False, key=None)
    np.testing.assert_allclose(found.given, given["image"] + 0.3 * given["noise"], rtol=1e-5)
    measured = experiment.eval_step(state, given)
    restored = 1 / (1 + np.exp(-np.asarray(found.logits)))
    expected = np.square(restored - given["image"]).mean()
    assert value(measured["squared_error"]) == pytest.approx(float(expected), rel=1e-5)


@pytest.mark.parametrize("kind", ["plain", "denoising", "variational"])
def test_images_stand_above_their_reconstructions(kind: Any) -> None:
    _, experiment = build(kind)
    state = initial(experiment.init, jax.random.key(0))
    shown = experiment.show(state.evaluated)["reconstructions"]
    enlarged = -(-32 // 3)
    rows = 3 if kind == "denoising" else 2
    assert shown.shape == (rows * (3 * enlarged + 2), 10 * (2 * enlarged + 2))
    first = shown[1 : 1 + 3 * enlarged : enlarged, 1 : 1 + 2 * enlarged : enlarged]
    expected = np.rint(experiment.data.splits["test"][0]["image"][0, :, :, 0] * 255)
    np.testing.assert_array_equal(first, expected)


def test_two_latents_are_drawn_in_their_plane() -> None:
    _, experiment = build("plain")
    state = initial(experiment.init, jax.random.key(0))
    measured = jax.device_get(
        experiment.eval_step(state, jax.device_put(experiment.data.splits["test"][0]))
    )
    rows = measured["embedding"]
    assert isinstance(rows, Rows)
    codes = np.asarray(batch(9)["image"].reshape(ROWS, 6) @ np.asarray(state.params["a"]))
    np.testing.assert_allclose(rows.values["code"], codes, rtol=1e-5)
    results = experiment.summarize(measured)
    assert results["embedding"]().ndim == 3
    assert results["squared_error"] > 0


def test_principal_components_are_those_of_scikit_learn() -> None:
    metric = pca_squared_error(data(), 2)
    rows = np.concatenate([batch(step)["image"].reshape(ROWS, 6) for step in range(4)])
    pca = PCA(2).fit(rows)
    given = batch(9, rows=7)
    images = given["image"].reshape(ROWS, 6)[:7]
    expected = np.square(pca.inverse_transform(pca.transform(images)) - images).mean()
    assert value(metric(None, given)) == pytest.approx(float(expected), rel=1e-4)
    assert value(pca_squared_error(data(), 100)(None, given)) == pytest.approx(0, abs=1e-9)


def test_noise_that_is_none_is_refused() -> None:
    with pytest.raises(InputError, match="--noise 0 must be above 0"):
        coding(*linear(2), kind="denoising", latents=2, noise=0)
