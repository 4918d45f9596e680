import math

import jax
import jax.numpy as jnp
import numpy as np

from bigmodel.models.attention.attend import attend
from bigmodel.models.attention.masks import masked_mean, padding_mask, window_mask
from bigmodel.models.attention.positions import Rotary, frequencies, sinusoidal


def test_attention_of_large_scores_is_finite_and_exact():
    query, key, value = jax.random.normal(jax.random.key(0), (3, 1, 6, 1, 4), jnp.float32)
    positions = jnp.arange(6, dtype=jnp.int32)
    mask = window_mask(positions, positions, window=6)
    mixed = attend(1e4 * query, key, value, mask[None])
    scores = np.einsum("td,sd->ts", query[0, :, 0], key[0, :, 0])
    likeliest = np.where(np.asarray(mask), scores, -np.inf).argmax(axis=1)
    np.testing.assert_allclose(mixed[0, :, 0], value[0, likeliest, 0], atol=1e-5)


def test_the_mean_is_over_what_is_present_and_zero_where_nothing_is():
    x = np.random.default_rng(0).normal(size=(3, 4, 2)).astype(np.float32)
    lengths = jnp.array([4, 2, 0], jnp.int32)
    found = masked_mean(jnp.asarray(x), padding_mask(lengths, 4))
    expected = [x[0].mean(axis=0), x[1, :2].mean(axis=0), [0, 0]]
    np.testing.assert_allclose(found, expected, rtol=1e-6)


def test_positions_are_the_formula_of_the_paper():
    table = np.asarray(sinusoidal(jnp.arange(7, dtype=jnp.int32), width=6))
    for position in range(7):
        for i in range(3):
            angle = position / 10_000 ** (2 * i / 6)
            np.testing.assert_allclose(table[position, 2 * i], np.sin(angle), atol=1e-6)
            np.testing.assert_allclose(table[position, 2 * i + 1], np.cos(angle), atol=1e-6)


def test_frequencies_are_scaled_as_those_of_llama_3():
    options = Rotary(base=5e5, scaling="llama3", factor=8.0, low=1.0, high=4.0, context=8192)
    expected = []
    for i in range(32):
        plain = 5e5 ** (-2 * i / 64)
        length = 2 * math.pi / plain
        smooth = (8192 / length - 1) / (4 - 1)
        if length < 8192 / 4:
            expected.append(plain)
        elif length > 8192 / 1:
            expected.append(plain / 8)
        else:
            expected.append((1 - smooth) * plain / 8 + smooth * plain)
    assert len({round(e / 5e5 ** (-2 * i / 64), 6) for i, e in enumerate(expected)}) > 3
    np.testing.assert_allclose(frequencies(options, size=64), expected, rtol=1e-5)
    linear = frequencies(Rotary(scaling="linear", factor=4.0), size=64)
    np.testing.assert_allclose(linear, frequencies(Rotary(), size=64) / 4, rtol=1e-6)
