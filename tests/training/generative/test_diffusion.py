from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import PartitionSpec as P

from bigmodel.experiment import Data, InputError, Model
from bigmodel.training.generative.diffusion import (
    Denoised,
    Sampling,
    denoising_error,
    mixture,
    noising,
    sampler,
    with_noise,
)

ROWS, SHAPE = 6, (4, 4, 1)
VARIANCE = 0.01


def batch(step: int = 0) -> dict[str, np.ndarray]:
    image = np.random.default_rng(step).random((ROWS, *SHAPE), np.float32)
    label = (np.arange(ROWS) % 3).astype(np.int32)
    return {"image": image, "label": label, "weight": np.ones(ROWS, np.float32)}


def network(predict: Any) -> Model:
    """A network that is a formula of what it reads."""

    def apply(variables: Any, given: Any, **_: Any) -> Any:
        return predict(given), dict(variables)

    return Model(lambda *_: {"params": {}}, apply, ((r".*", P()),))


def seen(given: Any) -> Any:
    """What reached the network."""
    return {name: given[name] for name in ("image", "time", "label")}


def column(values: Any) -> Any:
    return values[:, None, None, None]


def ideal(prediction: str) -> Model:
    """The best prediction where pixels are normal with mean 0 and a small variance."""

    def predict(given: Any) -> Any:
        a, s = (column(share) for share in mixture(given["time"]))
        y = given["image"]
        x = a * VARIANCE * y / (a**2 * VARIANCE + s**2)
        noise = (y - a * x) / s
        return noise if prediction == "noise" else a * noise - s * x

    return network(predict)


def test_shares_of_image_and_noise_keep_the_variance() -> None:
    time = jnp.linspace(0, 1, 11)
    a, s = mixture(time)
    np.testing.assert_allclose(a**2 + s**2, 1, rtol=1e-6)
    assert np.all(np.diff(a) < 0)
    assert a[0] > 0.999
    assert 0 < a[-1] < 0.02


@pytest.mark.parametrize("prediction", ["noise", "velocity"])
def test_what_is_seen_and_what_is_sought_make_up_image_and_noise(prediction: Any) -> None:
    given = {**batch(), "noise": batch(1)["image"], "time": np.zeros(ROWS, np.float32)}
    sought = noising(network(seen), prediction=prediction, label_dropout=0.0)
    found, _ = sought.apply({}, given, train=False, key=None)
    np.testing.assert_allclose(found.predicted["time"], 0.5)  # the normal distribution at 0
    a, s = (float(share) for share in mixture(jnp.float32(0.5)))
    x, y = 2 * given["image"] - 1, found.predicted["image"]
    np.testing.assert_allclose(y, a * x + s * given["noise"], rtol=1e-5, atol=1e-6)
    restored = (y - s * found.target) / a if prediction == "noise" else a * y - s * found.target
    np.testing.assert_allclose(restored, x, rtol=1e-4, atol=1e-5)


def test_times_of_a_training_batch_are_evenly_apart_and_labels_are_dropped() -> None:
    model = noising(network(seen), prediction="noise", label_dropout=0.5)
    labels = []
    for seed in range(50):
        found, _ = model.apply({}, batch(), train=True, key=jax.random.key(seed))
        time = np.sort(found.predicted["time"])
        np.testing.assert_allclose(np.diff(time), 1 / ROWS, atol=1e-5)
        labels.append(np.asarray(found.predicted["label"]))
    dropped = np.stack(labels) == -1
    assert 0.35 < dropped.mean() < 0.65
    kept = np.broadcast_to(batch()["label"], dropped.shape)[~dropped]
    np.testing.assert_array_equal(np.stack(labels)[~dropped], kept)


def test_the_error_is_the_mean_square_without_the_padding() -> None:
    random = np.random.default_rng(0)
    one, other = random.standard_normal((2, ROWS, *SHAPE)).astype(np.float32)
    weight = (np.arange(ROWS) < 4).astype(np.float32)
    mean = denoising_error(Denoised(one, other), {"weight": weight})
    assert float(mean.total / mean.count) == pytest.approx(np.square(one - other)[:4].mean())


def test_noise_and_time_of_a_split_are_fixed() -> None:
    data = Data(lambda _, step, *_rows: batch(step), {"test": [batch(7), batch(8)]}, ROWS, 1, "")
    one, other = (with_noise(data).splits["test"] for _ in range(2))
    for name, shape in (("noise", (ROWS, *SHAPE)), ("time", (ROWS,))):
        np.testing.assert_array_equal(one[1][name], other[1][name])
        assert one[0][name].shape == shape
        assert not np.array_equal(one[0][name], one[1][name])


@pytest.mark.parametrize("prediction", ["noise", "velocity"])
def test_ideal_predictions_turn_noise_into_the_distribution_of_the_images(prediction: Any) -> None:
    """The path is known: y(t) has the variance ``a^2 v + s^2``, and its direction stays."""
    noise = np.random.default_rng(0).standard_normal((ROWS, *SHAPE)).astype(np.float32)
    label = np.zeros(ROWS, np.int32)
    draw = jax.jit(sampler(ideal(prediction), Sampling(steps=400), prediction=prediction))
    found = np.asarray(draw({}, noise, label)) * 2 - 1
    (a0, s0), (a1, s1) = (mixture(jnp.float32(t)) for t in (0.0, 1.0))
    ratio = np.sqrt((a0**2 * VARIANCE + s0**2) / (a1**2 * VARIANCE + s1**2))
    np.testing.assert_allclose(found, noise * ratio, rtol=0.05, atol=2e-3)


def test_guidance_goes_beyond_what_the_class_adds() -> None:
    """A network that says its label: 1 with the class, 0 without, so w beyond is 1 + w."""

    def predict(given: Any) -> Any:
        told = (given["label"] >= 0).astype(jnp.float32)
        return jnp.broadcast_to(column(told) * 0.1, given["image"].shape)

    noise = np.zeros((ROWS, *SHAPE), np.float32)
    label = np.zeros(ROWS, np.int32)
    _, s = mixture(jnp.float32(1.0))
    a_next, s_next = mixture(jnp.float32(0.0))
    for guidance in (0.0, 2.0):
        options = Sampling(steps=1, guidance=guidance)
        found = sampler(network(predict), options, prediction="velocity")(
            {}, *jax.device_put((noise, label))
        )
        velocity = 0.1 * (1 + guidance)
        a, _ = mixture(jnp.float32(1.0))
        x = -s * velocity
        expected = a_next * x + s_next * (0 - a * x) / s
        np.testing.assert_allclose(found, (expected + 1) / 2, rtol=1e-5)


def test_samples_are_pixels() -> None:
    wild = network(lambda given: 50 * given["image"])
    noise = np.random.default_rng(0).standard_normal((ROWS, *SHAPE)).astype(np.float32)
    draw = sampler(wild, Sampling(steps=3), prediction="velocity")
    found = np.asarray(draw({}, jnp.asarray(noise), jnp.zeros(ROWS, jnp.int32)))
    assert found.min() >= 0
    assert found.max() <= 1


@pytest.mark.parametrize("name", ["steps", "count"])
def test_sampling_that_draws_nothing_is_refused(name: str) -> None:
    with pytest.raises(InputError, match=f"--sampling.{name} is 0"):
        Sampling(**{name: 0})
