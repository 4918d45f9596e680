import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.test_util import check_grads

from bigmodel.models.attention.attend import attend
from bigmodel.models.attention.attention import (
    cached_positions,
    empty_cache,
    updated_cache,
)
from bigmodel.models.attention.masks import masked_mean, padding_mask, window_mask
from bigmodel.models.attention.positions import rotate, rotation, sinusoidal


def normal(seed, *shape):
    return jax.random.normal(jax.random.key(seed), shape, jnp.float32)


def positions(*bounds):
    return jnp.arange(*bounds, dtype=jnp.int32)


def plain_attention(query, key, value, mask):
    """One query, head and example at a time, in float64."""
    query, key, value = (np.asarray(x, np.float64) for x in (query, key, value))
    mixed = np.zeros_like(query)
    for b, t, h in np.ndindex(query.shape[:3]):
        seen = np.flatnonzero(mask[t])
        scores = key[b, seen, h] @ query[b, t, h] / np.sqrt(query.shape[-1])
        weights = np.exp(scores) / np.exp(scores).sum()
        mixed[b, t, h] = weights @ value[b, seen, h]
    return mixed


@pytest.mark.parametrize("window", [3, 8])
def test_attention_is_the_formula(window):
    query, key, value = (normal(seed, 2, 8, 2, 4) for seed in range(3))
    causal = np.tril(np.ones((8, 8), bool)) & ~np.tril(np.ones((8, 8), bool), -window)
    mask = window_mask(positions(8), positions(8), window=window)
    np.testing.assert_array_equal(mask, causal)
    expected = plain_attention(query, key, value, causal)
    np.testing.assert_allclose(attend(query, key, value, mask[None]), expected, atol=2e-6)


@pytest.mark.parametrize("shared", [1, 2])
def test_shared_key_heads_are_the_formula_with_each_repeated_for_its_group(shared):
    query = normal(0, 2, 6, 4, 3)
    key, value = (normal(seed, 2, 6, shared, 3) for seed in (1, 2))
    causal = np.tril(np.ones((6, 6), bool))
    repeated = [np.repeat(x, 4 // shared, axis=2) for x in (key, value)]
    expected = plain_attention(query, *repeated, causal)
    found = attend(query, key, value, jnp.asarray(causal)[None])
    np.testing.assert_allclose(found, expected, atol=2e-6)
    padded = jnp.arange(6)[None, None] < jnp.array([3, 6])[:, None, None]
    found = attend(query, key, value, padded)
    for b, length in enumerate((3, 6)):
        seen = np.broadcast_to(np.arange(6) < length, (6, 6))
        expected = plain_attention(query, *repeated, seen)[b]
        np.testing.assert_allclose(found[b], expected, atol=2e-6)


def test_gradient_of_attention_with_shared_key_heads_is_that_of_finite_differences():
    query, key, value = normal(0, 1, 4, 4, 3), normal(1, 1, 4, 2, 3), normal(2, 1, 4, 2, 3)
    mask = window_mask(positions(4), positions(4), window=3)
    check_grads(
        jax.jit(lambda *qkv: attend(*qkv, mask[None])),
        (query, key, value),
        order=1,
        modes=["rev"],
        rtol=1e-2,
    )


def test_attention_of_large_scores_is_finite_and_exact():
    query, key, value = (normal(seed, 1, 6, 1, 4) for seed in range(3))
    mask = window_mask(positions(6), positions(6), window=6)
    mixed = attend(1e4 * query, key, value, mask[None])
    scores = np.einsum("td,sd->ts", query[0, :, 0], key[0, :, 0])
    likeliest = np.where(np.asarray(mask), scores, -np.inf).argmax(axis=1)
    np.testing.assert_allclose(mixed[0, :, 0], value[0, likeliest, 0], atol=1e-5)


def test_gradient_of_attention_is_that_of_finite_differences():
    query, key, value = (normal(seed, 1, 5, 2, 4) for seed in range(3))
    mask = window_mask(positions(5), positions(5), window=4)
    check_grads(
        jax.jit(lambda *qkv: attend(*qkv, mask[None])),
        (query, key, value),
        order=1,
        modes=["rev"],
        rtol=1e-2,
    )


def test_rotation_turns_pairs_by_the_angles_of_the_paper():
    x = normal(0, 1, 5, 1, 6)
    turned = rotate(x, rotation(positions(5), size=6))
    pairs = np.asarray(x[..., :3]) + 1j * np.asarray(x[..., 3:])
    angles = np.arange(5)[:, None] * 10_000.0 ** (-np.arange(0, 6, 2) / 6)
    expected = pairs * np.exp(1j * angles)[None, :, None, :]
    np.testing.assert_allclose(turned[..., :3], expected.real, atol=1e-5)
    np.testing.assert_allclose(turned[..., 3:], expected.imag, atol=1e-5)


def test_products_of_rotated_vectors_depend_on_the_distance_alone():
    query, key = normal(0, 1, 1, 1, 16), normal(1, 1, 1, 1, 16)

    def product(query_at, key_at):
        at = [rotation(jnp.array([p], jnp.int32), size=16) for p in (query_at, key_at)]
        return float(jnp.vdot(rotate(query, at[0]), rotate(key, at[1])))

    assert product(7, 3) == pytest.approx(product(107, 103), abs=1e-4)
    assert abs(product(7, 3) - product(7, 5)) > 1e-2


@pytest.mark.parametrize("pieces", [[3], [1] * 11, [2, 3, 4, 2], [13], [5, 9]])
def test_cache_holds_the_last_window_of_positions_each_in_its_slot(pieces):
    window, seen = 5, 0
    cache = empty_cache(batch=1, window=window, heads=1, size=1, dtype=jnp.dtype("float32"))
    for length in pieces:
        written = positions(seen, seen + length).astype(jnp.float32)[None, :, None, None]
        cache = updated_cache(cache, written, -written, length=jnp.asarray(seen, jnp.int32))
        seen += length
    held = np.asarray(cached_positions(jnp.asarray(seen, jnp.int32), window=window))
    assert sorted(held[held >= 0]) == list(range(max(0, seen - window), seen))
    np.testing.assert_array_equal(cache.keys[0, held >= 0, 0, 0], held[held >= 0])
    np.testing.assert_array_equal(cache.values[0, held >= 0, 0, 0], -held[held >= 0])


def test_positions_before_the_length_are_present():
    found = padding_mask(jnp.array([0, 2, 3], jnp.int32), 3)
    assert np.asarray(found).tolist() == [[False] * 3, [True, True, False], [True] * 3]


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
