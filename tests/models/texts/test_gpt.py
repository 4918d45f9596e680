from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.flatten_util import ravel_pytree
from jax.test_util import check_grads
from small_gpt import CONTEXT, GPT2, LLAMA, TINY, VOCAB, built, count, logits_of, shapes_of, tokens

from bigmodel.experiment import InputError
from bigmodel.models.attention.moe import MixtureOfExperts
from bigmodel.models.layers.feed_forward import residual_init
from bigmodel.models.layers.norm import RmsNorm
from bigmodel.models.texts.gpt import Gpt, GptBlock
from bigmodel.tree import named_leaves


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


def test_biases_are_where_gpt_2_has_them_but_for_the_keys():
    params = shapes_of(Gpt(**TINY, **GPT2))
    found = {name for name in named_leaves(params) if name.endswith("bias")}
    block = {
        f"{part}/bias"
        for part in (
            "attention/query", "attention/value", "attention/output", "feed_forward/up",
            "feed_forward/down", "norm_attention", "norm_feed_forward",
        )
    }  # fmt: skip
    assert found == {f"blocks_{n}/{name}" for n in range(2) for name in block} | {"norm/bias"}


def test_experts_of_a_block_are_the_mixture_of_its_normed_input():
    options = Gpt(layers=1, width=16, heads=2, experts=4, positions="learned")
    model, variables = built(options)
    outputs, _ = jax.jit(partial(model.apply, train=False))(variables, {"tokens": tokens()})
    assert outputs.chosen.shape == outputs.probabilities.shape == (2, CONTEXT, 1, 4)
    np.testing.assert_array_equal(outputs.chosen.sum(axis=-1), 2)
    p = variables["params"]
    # A block without its mixture, and the mixture by itself.
    silent = {**p["blocks_0"], "feed_forward": zeros_like(p["blocks_0"]["feed_forward"])}
    before = residual(options, {**p, "blocks_0": silent})
    normed = RmsNorm(jnp.dtype("float32")).apply(
        {"params": p["blocks_0"]["norm_feed_forward"]}, before
    )
    mixture = MixtureOfExperts(4, 2, None, 64, "gelu", jnp.dtype("float32"), residual_init(1))
    mixed, _ = mixture.apply({"params": p["blocks_0"]["feed_forward"]}, normed, train=False)
    np.testing.assert_allclose(residual(options, p), before + mixed, atol=1e-5)


def zeros_like(tree):
    return jax.tree.map(jnp.zeros_like, tree)


def residual(options, params):
    """What the final norm reads, caught on the way."""
    network = options._network(vocab_size=VOCAB, context=CONTEXT)
    apply = partial(
        network.apply,
        train=False,
        capture_intermediates=lambda module, _: isinstance(module, GptBlock),
    )
    _, state = jax.jit(apply)({"params": params}, tokens())
    return state["intermediates"]["blocks_0"]["__call__"][0][0]


def test_remat_keeps_less_for_the_backward_pass():
    def kept(remat):
        model, variables = built(Gpt(**TINY, remat=remat))
        apply = partial(model.apply, train=True)
        read = partial(jax.vjp, lambda v: apply(v, {"tokens": tokens()})[0])
        _, backward = jax.eval_shape(read, variables)
        return sum(leaf.size for leaf in jax.tree.leaves(backward))

    assert kept(True) < 0.5 * kept(False)


@pytest.mark.parametrize(
    "changes",
    [
        {"positions": "learned", "tied": False},
        {"norm": "layer", "biases": True},
        {"activation": "swiglu", "kv_heads": 1, "window": 3},
    ],
    ids=str,
)
def test_gradient_is_that_of_finite_differences(changes):
    options = Gpt(layers=1, width=8, heads=2, **changes)
    _, variables = built(options)
    flat, unravel = ravel_pytree(variables)
    # The initial embedding is so small that its norm bends within a finite difference.
    moderate = unravel(0.5 * jax.random.normal(jax.random.key(1), flat.shape, jnp.float32))
    check_grads(
        lambda v: logits_of(options, v, tokens()), (moderate,), order=1, modes=["rev"], rtol=2e-2
    )


def test_a_window_longer_than_the_context_is_refused():
    with pytest.raises(InputError, match=r"--model.window 9 is longer than --data.context 8"):
        Gpt(**TINY, window=9).build(vocab_size=VOCAB, context=CONTEXT)


def gelu(x):
    return 0.5 * x * (1 + np.tanh(np.sqrt(2 / np.pi) * (x + 0.044715 * x**3)))


def dense(p, x):
    return x @ p["kernel"] + p.get("bias", 0)


def plain_norm(kind, p, x):
    if kind == "layer":
        x = x - x.mean(axis=-1, keepdims=True)
    return x / np.sqrt((x**2).mean(axis=-1, keepdims=True) + 1e-6) * p["scale"] + p.get("bias", 0)


def plain_attention(p, x, *, heads, kv_heads, window, rotary):
    """One example, head and query at a time."""
    mixed = np.zeros_like(x)
    size = x.shape[-1] // heads
    for b, head, t in np.ndindex(len(x), heads, x.shape[1]):
        shared = head // (heads // kv_heads)
        own, of = slice(head * size, (head + 1) * size), slice(shared * size, (shared + 1) * size)
        query = turned(dense(p["query"], x[b, t])[own], t if rotary else 0)
        seen = range(max(0, t - window + 1), t + 1)
        keys = [turned(dense(p["key"], x[b, s])[of], s if rotary else 0) for s in seen]
        values = [dense(p["value"], x[b, s])[of] for s in seen]
        weights = np.exp(np.array(keys) @ query / np.sqrt(size))
        mixed[b, t, own] = weights / weights.sum() @ np.array(values)
    return dense(p["output"], mixed)


def turned(pairs, position):
    half = len(pairs) // 2
    angles = position * 10_000.0 ** (-np.arange(half) / half)
    both = (pairs[:half] + 1j * pairs[half:]) * np.exp(1j * angles)
    return np.concatenate([both.real, both.imag])


def plain_network(activation, p, x):
    up = dense(p["up"], x)
    if activation == "swiglu":
        gate = dense(p["gate"], x)
        return dense(p["down"], gate / (1 + np.exp(-gate)) * up)
    function = {"squared_relu": lambda x: np.maximum(x, 0) ** 2, "gelu": gelu}
    return dense(p["down"], function[activation](up))


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"activation": "squared_relu", "positions": "learned"},
        {"kv_heads": 1},
        {"kv_heads": 2, "biases": True},
        {"window": 1},
        {"window": 5, "positions": "learned"},
        GPT2,
        LLAMA,
    ],
    ids=str,
)
def test_network_of_one_block_is_the_formula(changes):
    options = Gpt(layers=1, width=16, heads=4, **changes)
    _, variables = built(options)
    large = jax.tree.map(lambda x: 3 * x + 0.05, variables)
    p = jax.tree.map(lambda x: np.asarray(x, np.float64), large["params"])
    block = p["blocks_0"]
    x = p["embedding"]["embedding"][tokens()]
    if options.positions == "learned":
        x = x + p["positions"]["embedding"][None]
    x = x + plain_attention(
        block["attention"],
        plain_norm(options.norm, block["norm_attention"], x),
        heads=4,
        kv_heads=options.kv_heads or 4,
        window=options.window or CONTEXT,
        rotary=options.positions == "rotary",
    )
    normed = plain_norm(options.norm, block["norm_feed_forward"], x)
    x = x + plain_network(options.activation, block["feed_forward"], normed)
    head = p["embedding"]["embedding"].T if options.tied else p["head"]["kernel"]
    expected = plain_norm(options.norm, p["norm"], x) @ head
    np.testing.assert_allclose(logits_of(options, large, tokens()), expected, rtol=1e-4, atol=1e-4)
