import re
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.flatten_util import ravel_pytree
from jax.test_util import check_grads

from bigmodel.experiment import InputError
from bigmodel.models.gpt import Gpt
from bigmodel.models.norm import RmsNorm

VOCAB, CONTEXT = 11, 8
TINY = {"layers": 2, "width": 16, "heads": 2}


def tokens(length=CONTEXT, seed=0):
    return jax.random.randint(jax.random.key(seed), (2, length), 0, VOCAB, jnp.int32)


def built(options):
    model = options.build(vocab_size=VOCAB, context=CONTEXT)
    variables = jax.jit(model.init)(jax.random.key(1), {"tokens": tokens()})
    return model, variables


def logits_of(options, variables, tokens):
    model = options.build(vocab_size=VOCAB, context=CONTEXT)
    apply = jax.jit(partial(model.apply, train=False))
    return apply(variables, {"tokens": tokens})[0]


def count(options):
    return len(ravel_pytree(built(options)[1]["params"])[0])


@pytest.mark.parametrize("positions", ["rotary", "learned"])
@pytest.mark.parametrize("tied", [True, False])
def test_number_of_parameters_is_that_of_the_formula(positions, tied):
    width, layers = TINY["width"], TINY["layers"]
    blocks = layers * ((4 + 2 * 4) * width**2 + 2 * width)
    learned = CONTEXT * width if positions == "learned" else 0
    embeddings = VOCAB * width * (1 if tied else 2)
    options = Gpt(**TINY, positions=positions, tied=tied)
    assert count(options) == blocks + width + learned + embeddings


@pytest.mark.parametrize("positions", ["rotary", "learned"])
def test_logits_depend_on_no_later_token(positions):
    options = Gpt(**TINY, positions=positions)
    _, variables = built(options)
    now, later = tokens(), tokens().at[:, 5].add(1) % VOCAB
    before, after = (logits_of(options, variables, x) for x in (now, later))
    np.testing.assert_array_equal(before[:, :5], after[:, :5])
    assert jnp.all(jnp.any(before[:, 5:] != after[:, 5:], axis=-1))


@pytest.mark.parametrize("positions", ["rotary", "learned"])
def test_order_of_the_tokens_before_matters(positions):
    # One layer: the causal mask alone tells deeper ones the order.
    options = Gpt(layers=1, width=16, heads=2, positions=positions)
    _, variables = built(options)
    x = jnp.array([[1, 2, 3, 4], [2, 1, 3, 4]], jnp.int32)
    first, second = logits_of(options, variables, x)[:, -1]
    assert jnp.abs(first - second).max() > 1e-4


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
@pytest.mark.parametrize("tied", [True, False])
def test_parameters_and_logits_are_float32_whatever_is_computed_in(dtype, tied):
    options = Gpt(**TINY, dtype=dtype, tied=tied)
    _, variables = built(options)
    assert {leaf.dtype for leaf in jax.tree.leaves(variables)} == {jnp.dtype("float32")}
    logits = logits_of(options, variables, tokens())
    assert logits.dtype == jnp.float32
    exact = logits_of(Gpt(**TINY, tied=tied), variables, tokens())
    np.testing.assert_allclose(logits, exact, atol=0.02)
    assert bool(jnp.all(logits == exact)) == (dtype == "float32")


def test_remat_and_plain_backward_pass_give_the_same_gradients():
    def gradients(remat):
        options = Gpt(**TINY, remat=remat, dropout=0.2)
        model, variables = built(options)

        def loss(params):
            batch = {"tokens": tokens()}
            logits, _ = model.apply({"params": params}, batch, train=True, key=jax.random.key(2))
            return jnp.square(logits).mean()

        return ravel_pytree(jax.jit(jax.grad(loss))(variables["params"]))[0]

    plain = gradients(False)
    assert jnp.abs(plain).max() > 1e-3
    np.testing.assert_allclose(gradients(True), plain, rtol=1e-5, atol=1e-7)


@pytest.mark.parametrize(
    ("activation", "formula"),
    [
        ("squared_relu", lambda x: np.maximum(x, 0) ** 2),
        ("gelu", lambda x: 0.5 * x * (1 + np.tanh(np.sqrt(2 / np.pi) * (x + 0.044715 * x**3)))),
    ],
)
def test_block_is_the_formula(activation, formula):
    options = Gpt(layers=1, width=8, heads=1, positions="learned", activation=activation)
    _, variables = built(options)
    p = jax.tree.map(lambda x: np.asarray(3 * x, np.float64), variables["params"])
    block = p["blocks_0"]

    def norm(x, scale):
        return x / np.sqrt((x**2).mean(axis=-1, keepdims=True) + 1e-6) * scale["scale"]

    x = p["embedding"]["embedding"][tokens()] + p["positions"]["embedding"][None]
    normed = norm(x, block["norm_attention"])
    query, key, value = (
        normed @ block["attention"][n]["kernel"] for n in ("query", "key", "value")
    )
    scores = query @ key.swapaxes(1, 2) / np.sqrt(8)
    weights = np.exp(scores) * np.tril(np.ones((CONTEXT, CONTEXT)))
    mixed = weights / weights.sum(axis=-1, keepdims=True) @ value
    x = x + mixed @ block["attention"]["output"]["kernel"]
    hidden = formula(norm(x, block["norm_feed_forward"]) @ block["up"]["kernel"])
    x = x + hidden @ block["down"]["kernel"]
    expected = norm(x, p["norm"]) @ p["embedding"]["embedding"].T
    large = jax.tree.map(lambda x: 3 * x, variables)
    np.testing.assert_allclose(logits_of(options, large, tokens()), expected, rtol=1e-4, atol=1e-4)


def test_remat_keeps_less_for_the_backward_pass():
    def kept(remat):
        model, variables = built(Gpt(**TINY, remat=remat))
        apply = partial(model.apply, train=True)
        _, backward = jax.vjp(lambda v: apply(v, {"tokens": tokens()})[0], variables)
        return sum(leaf.size for leaf in jax.tree.leaves(backward))

    assert kept(True) < 0.5 * kept(False)


def test_gradient_is_that_of_finite_differences():
    options = Gpt(layers=1, width=8, heads=2, positions="learned", tied=False)
    _, variables = built(options)
    flat, unravel = ravel_pytree(variables)
    large = unravel(10 * flat)
    check_grads(
        lambda v: logits_of(options, v, tokens()), (large,), order=1, modes=["rev"], rtol=2e-2
    )


def test_dropout_is_random_in_training_only():
    model, variables = built(Gpt(**TINY, dropout=0.5))
    batch = {"tokens": tokens()}
    keys = [jax.random.key(seed) for seed in (0, 0, 1)]
    apply = jax.jit(partial(model.apply, train=True))
    same, again, other = (apply(variables, batch, key=key)[0] for key in keys)
    np.testing.assert_array_equal(same, again)
    assert jnp.abs(same - other).max() > 1e-3
    evaluated = logits_of(Gpt(**TINY, dropout=0.5), variables, tokens())
    np.testing.assert_array_equal(evaluated, logits_of(Gpt(**TINY), variables, tokens()))


@pytest.mark.parametrize("positions", ["rotary", "learned"])
@pytest.mark.parametrize("tied", [True, False])
def test_partition_rules_cover_every_parameter_with_as_many_dimensions(positions, tied):
    model, variables = built(Gpt(**TINY, positions=positions, tied=tied))
    for path, leaf in jax.tree_util.tree_leaves_with_path(variables["params"]):
        name = jax.tree_util.keystr(path, simple=True, separator="/")
        spec = next(spec for pattern, spec in model.partition if re.search(pattern, name))
        assert ("fsdp" in spec) == (leaf.ndim == 2), name
        assert len(spec) in (0, leaf.ndim), name


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_norm_is_the_formula(dtype):
    x = 3 * jax.random.normal(jax.random.key(0), (2, 3, 8), jnp.float32)
    scale = jnp.arange(1, 9, dtype=jnp.float32)
    y = RmsNorm(jnp.dtype(dtype)).apply({"params": {"scale": scale}}, x)
    wide = np.asarray(x, np.float64)
    expected = wide / np.sqrt((wide**2).mean(axis=-1, keepdims=True)) * np.asarray(scale)
    assert y.dtype == dtype
    np.testing.assert_allclose(y.astype(jnp.float32), expected, rtol=1e-2, atol=1e-5)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"heads": 3, "width": 128}, "--model.heads 3 does not divide --model.width 128; use 2"),
        ({"heads": 8, "width": 24}, "3 features each"),
        ({"layers": 0}, "--model.layers 0"),
        ({"heads": -1}, "--model.heads -1"),
        ({"dropout": 1.0}, "--model.dropout 1.0"),
        ({"dropout": float("nan")}, "--model.dropout nan"),
    ],
)
def test_sizes_that_do_not_fit_are_refused(wrong, message):
    with pytest.raises(InputError, match=re.escape(message)):
        Gpt(**wrong)
