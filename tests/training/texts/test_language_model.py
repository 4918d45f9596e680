import jax
import jax.numpy as jnp
import numpy as np
import pytest
from formulas import value

from bigmodel.experiment import Mean
from bigmodel.training.metrics import next_token
from bigmodel.training.texts.language_model import bits_per_char, perplexity

RNG = np.random.default_rng(0)


def test_bits_per_char_is_total_bits_over_total_characters() -> None:
    logits = RNG.normal(size=(2, 3, 4)).astype(np.float32)
    targets = np.array([[0, 1, 2], [3, 3, 0]], np.int32)
    weight = np.array([[1, 1, 0], [1, 1, 1]], np.float32)
    characters = np.array([1, 4, 9, 2], np.float32)
    batch = jax.device_put({"targets": targets, "weight": weight})
    bits, chars = 0.0, 0.0
    for i in range(2):
        for j in range(3):
            p = np.exp(logits[i, j]) / np.exp(logits[i, j]).sum()
            bits -= weight[i, j] * np.log2(p[targets[i, j]])
            chars += weight[i, j] * characters[targets[i, j]]
    found = bits_per_char(characters)(jnp.asarray(logits), batch)
    assert value(found) == pytest.approx(bits / chars, rel=1e-5)
    nats = value(next_token(jnp.asarray(logits), batch)) * 5
    assert nats == pytest.approx(bits * np.log(2), rel=1e-5)


def test_perplexity_is_that_of_the_mean_loss() -> None:
    measured = {"loss": Mean(np.asarray(20.0), np.asarray(10.0)), "nats": Mean(1.0, 2.0)}
    expected = {"loss": 2.0, "nats": 0.5, "perplexity": pytest.approx(np.e**2)}
    assert perplexity()(measured) == expected
    assert perplexity("nats")(measured)["perplexity"] == pytest.approx(np.e**0.5)
