import jax
import jax.numpy as jnp
import numpy as np
import pytest
from bigmodel.training.losses import cross_entropy
from bigmodel.training.reports import classification
from scipy.special import softmax

from bigmodel.training.ensemble import average, mixture, of_all, of_each, report_of_all
from bigmodel.training.metrics import accuracy
from bigmodel.training.regression import squared_error

RNG = np.random.default_rng(0)
LOGITS = (3 * RNG.normal(size=(4, 6, 3))).astype(np.float32)
BATCH = {
    "label": RNG.integers(0, 3, 6).astype(np.int32),
    "weight": np.asarray([1, 1, 1, 1, 0, 0], np.float32),
}


def value(mean):
    return float(mean.total / mean.count)


def test_the_loss_of_each_is_the_mean_of_the_losses_alone_and_so_are_gradients():
    loss = of_each(cross_entropy)
    alone = [value(cross_entropy(jnp.asarray(member), BATCH)) for member in LOGITS]
    assert value(loss(jnp.asarray(LOGITS), BATCH)) == pytest.approx(np.mean(alone), rel=1e-6)
    together = jax.grad(lambda x: loss(x, BATCH).total)(LOGITS)
    for member, gradient in zip(LOGITS, together, strict=True):
        expected = jax.grad(lambda x: cross_entropy(x, BATCH).total)(member)
        np.testing.assert_allclose(gradient, expected, rtol=1e-5, atol=1e-7)


def test_the_mixture_is_the_mean_of_probabilities_also_where_logits_are_large():
    expected = softmax(LOGITS.astype(np.float64), axis=-1).mean(0)
    np.testing.assert_allclose(jnp.exp(mixture(jnp.asarray(LOGITS))), expected, rtol=1e-5)
    large = jnp.asarray([[[1000.0, 0.0]], [[0.0, 1000.0]]], jnp.float32)
    np.testing.assert_allclose(mixture(large), np.log([[0.5, 0.5]]), rtol=1e-6)


def test_a_metric_of_all_is_that_of_what_they_say_together():
    expected = (softmax(LOGITS, axis=-1).mean(0).argmax(1) == BATCH["label"])[:4].mean()
    assert value(of_all(mixture, accuracy)(jnp.asarray(LOGITS), BATCH)) == pytest.approx(expected)
    numbers = RNG.normal(size=(4, 6)).astype(np.float32)
    batch = {"target": np.zeros(6, np.float32), "weight": BATCH["weight"]}
    found = value(of_all(average, squared_error)(jnp.asarray(numbers), batch))
    assert found == pytest.approx((numbers.mean(0)[:4] ** 2).mean(), rel=1e-5)


def test_a_report_of_all_gathers_the_mean_of_probabilities():
    report = report_of_all(mixture, classification(("a", "b", "c")))
    gathered = report["gathered"]["prediction"](jnp.asarray(LOGITS), BATCH)
    expected = softmax(LOGITS.astype(np.float64), axis=-1).mean(0)
    np.testing.assert_allclose(gathered["probability"], expected, rtol=1e-5)
