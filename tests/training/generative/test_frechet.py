from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.linalg import sqrtm

from bigmodel.experiment import Batch, Data, Experiment, Mean
from bigmodel.training.generative.frechet import frechet_distance, moments, summarize, with_distance


def points(count: int, size: int, *, seed: int) -> np.ndarray:
    random = np.random.default_rng(seed)
    mix, mean = random.standard_normal((size, size)), random.standard_normal(size)
    return (random.standard_normal((count, size)) @ mix + mean).astype(np.float32)


def gaussian(rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    rows = rows.astype(np.float64)
    return rows.mean(0), np.cov(rows, rowvar=False, bias=True)


def moments_of(rows: np.ndarray, weight: np.ndarray, *, name: str) -> dict[str, Mean]:
    return moments(jnp.asarray(rows), jnp.asarray(weight), name=name)


def distance(real: np.ndarray, generated: np.ndarray, *, cuts: Sequence[int] = ()) -> float:
    """The distance as the loop finds it: totals of batches added up in float64."""
    parts = []
    for one, other in zip(np.split(real, cuts), np.split(generated, cuts), strict=True):
        weight = np.ones(len(one), np.float32)
        named = moments_of(one, weight, name="real") | moments_of(other, weight, name="generated")
        parts.append(jax.tree.map(lambda leaf: np.asarray(leaf, np.float64), named))
    return summarize(jax.tree.map(lambda *leaves: sum(leaves), *parts))["frechet_distance"]


@pytest.mark.parametrize("size", [1, 4, 32])
def test_distance_agrees_with_scipys_matrix_root(size: int) -> None:
    (m1, c1), (m2, c2) = (gaussian(points(200, size, seed=s).reshape(200, size)) for s in (1, 2))
    c1, c2 = c1.reshape(size, size), c2.reshape(size, size)
    expected = np.sum((m1 - m2) ** 2) + np.trace(c1 + c2 - 2 * sqrtm(c1 @ c2).real)
    assert frechet_distance(m1, c1, m2, c2) == pytest.approx(expected, rel=1e-9)


def test_distance_of_a_set_to_itself_is_zero() -> None:
    rows = points(500, 16, seed=0)
    assert distance(rows, rows) < 1e-9


def test_features_that_depend_on_each_other_are_no_obstacle() -> None:
    rows = points(100, 3, seed=0) @ points(3, 8, seed=1)
    shift = np.arange(8, dtype=np.float32)
    found = distance(rows, rows + shift)
    assert found == pytest.approx(np.sum(shift**2), rel=1e-3)


@pytest.mark.parametrize("cuts", [range(128, 10_000, 128), (7, 300, 301)], ids=str)
def test_sums_of_ten_thousand_examples_are_exact_enough_however_they_are_cut(cuts: Any) -> None:
    real, generated = points(10_000, 32, seed=1), points(10_000, 32, seed=2)
    expected = frechet_distance(*gaussian(real), *gaussian(generated))
    assert distance(real, generated, cuts=cuts) == pytest.approx(expected, rel=1e-5)


def test_padding_never_counts() -> None:
    rows = points(50, 5, seed=0)
    padded = np.concatenate([rows, np.full((14, 5), 9, np.float32)])
    weight = np.concatenate([np.ones(50, np.float32), np.zeros(14, np.float32)])
    for name, mean in moments_of(padded, weight, name="real").items():
        expected = moments_of(rows, np.ones(50, np.float32), name="real")[name]
        np.testing.assert_allclose(mean.total, expected.total, rtol=1e-5, atol=1e-4)
        assert mean.count == expected.count == 50


def test_only_as_many_images_are_generated_as_are_asked_for() -> None:
    def rows(index: int) -> Batch:
        image = points(4, 3, seed=index)
        return jax.device_put({"image": image, "weight": np.ones(4, np.float32)})

    def loss(_: None, batch: Batch) -> dict[str, Mean]:
        return {"loss": Mean(batch["weight"].sum() * 2, batch["weight"].sum())}

    def generate(variables: jax.Array, batch: Batch) -> jax.Array:
        return variables[None] + batch["image"]

    data = Data(lambda *_: rows(0), {"test": [rows(i) for i in range(3)]}, 4, 1, "")
    plain = Experiment(lambda key: key, lambda *_: ({}, {}, {}), loss, data, ())
    experiment = with_distance(plain, generate, lambda image: image, count=6)
    shift = np.array([1.0, 2.0, 3.0], np.float32)
    parts = [
        experiment.eval_step(SimpleNamespace(evaluated=shift), jax.device_put(batch))
        for batch in experiment.data.splits["test"]
    ]
    assert [float(part["generated_mean"].count) for part in parts] == [4, 2, 0]
    assert [float(part["real_mean"].count) for part in parts] == [4, 4, 4]
    generated = sum(np.asarray(part["generated_mean"].total) for part in parts)
    images = np.concatenate([rows(0)["image"], rows(1)["image"]])[:6]
    np.testing.assert_allclose(generated, (images + shift).sum(0), rtol=1e-5)
    found = experiment.summarize(jax.tree.map(lambda *leaves: sum(leaves), *parts))
    assert set(found) == {"loss", "frechet_distance"}
    assert found["loss"] == 2
