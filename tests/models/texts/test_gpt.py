import dataclasses
import functools

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from formulas import dense, exact, gelu, layer_norm, rms_norm, silu
from initial import initial
from rare import rare
from stacking import stacked as as_stack

from bigmodel.experiment import InputError
from bigmodel.models.attention.moe import MixtureOfExperts
from bigmodel.models.attention.positions import Rotary
from bigmodel.models.layers.feed_forward import residual_init
from bigmodel.models.texts.gpt import Gpt
from bigmodel.tree import named_leaves

VOCAB, CONTEXT = 11, 8
TINY = {"layers": 2, "width": 16, "heads": 2}
LLAMA = {"activation": "swiglu", "kv_heads": 2, "tied": False, "expansion": 2.67, "window": 3}
QWEN3 = {
    "head_size": 6, "kv_heads": 2, "query_key_norm": True, "qkv_biases": True, "epsilon": 0.1,
    "rotary": Rotary(base=100.0),
}  # fmt: skip
GPT2 = {"norm": "layer", "biases": True, "positions": "learned"}


def tokens(length=CONTEXT, seed=0):
    return jax.random.randint(jax.random.key(seed), (2, length), 0, VOCAB, jnp.int32)


@functools.cache
def built(options):
    model = options.build(vocab_size=VOCAB, context=CONTEXT)
    variables = initial(model.init, jax.random.key(1), {"tokens": tokens()})
    return model, variables


@functools.cache
def applied(options):
    model = options.build(vocab_size=VOCAB, context=CONTEXT)
    return jax.jit(functools.partial(model.apply, train=False))


def logits_of(options, variables, tokens):
    return applied(options)(variables, {"tokens": tokens})[0]


def shapes_of(options):
    model = options.build(vocab_size=VOCAB, context=CONTEXT)
    return jax.eval_shape(model.init, jax.random.key(1), {"tokens": tokens()})["params"]


@pytest.mark.parametrize("positions", ["rotary", "learned"])
def test_logits_depend_on_no_later_token(positions):
    options = Gpt(**TINY, positions=positions)
    _, variables = built(options)
    now, later = tokens(), tokens().at[:, 5].add(1) % VOCAB
    before, after = (logits_of(options, variables, x) for x in (now, later))
    np.testing.assert_array_equal(before[:, :5], after[:, :5])
    assert jnp.all(jnp.any(before[:, 5:] != after[:, 5:], axis=-1))


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


@pytest.mark.parametrize("changes", [{}, GPT2, {"experts": 2, "kv_heads": 1}], ids=str)
def test_a_stack_of_blocks_is_the_same_network(changes):
    options = Gpt(**TINY, **changes)
    stacked = dataclasses.replace(options, scan=True)
    _, variables = built(options)
    params = as_stack(variables["params"])
    found = logits_of(stacked, {"params": params}, tokens())
    expected = logits_of(options, variables, tokens())
    chex.assert_trees_all_close(found, expected, rtol=1e-5, atol=1e-6)
    chex.assert_trees_all_equal_shapes(shapes_of(stacked), params)


def test_microbatches_that_do_not_divide_a_batch_are_refused():
    with pytest.raises(InputError, match=r"--model.microbatches 3 does not divide the batch of 2"):
        built(Gpt(**TINY, scan=True, microbatches=3))


def test_a_window_longer_than_the_context_is_all_of_it():
    [whole, longer] = (
        Gpt(**TINY, window=window).decoder(vocab_size=VOCAB, context=CONTEXT).empty(1)
        for window in (None, 10**12)
    )
    assert jax.tree.map(jnp.shape, whole) == jax.tree.map(jnp.shape, longer)


def test_more_global_tokens_than_there_are_positions_are_refused():
    with pytest.raises(InputError, match=r"--model.global-tokens 9 is more than --data.context 8"):
        Gpt(**TINY, window=2, global_tokens=9).build(vocab_size=VOCAB, context=CONTEXT)


def plain_attention(p, x, options):
    """One example, head and query at a time."""
    heads, kv_heads, size = options.heads, options.kv_heads or options.heads, options.size
    mixed = np.zeros((*x.shape[:2], heads * size))
    base = options.rotary.base

    def prepared(part, own, x, position):
        found = dense(p[part], x)[own]
        if options.query_key_norm:
            found = rms_norm(p[f"norm_{part}"], found, options.epsilon)
        return turned(found, position if options.positions == "rotary" else 0, base)

    for b, head, t in np.ndindex(len(x), heads, x.shape[1]):
        shared = head // (heads // kv_heads)
        own, of = slice(head * size, (head + 1) * size), slice(shared * size, (shared + 1) * size)
        near = options.window or CONTEXT
        seen = [s for s in range(t + 1) if t - s < near or s < options.global_tokens]
        keys = np.array([prepared("key", of, x[b, s], s) for s in seen])
        values = [dense(p["value"], x[b, s])[of] for s in seen]
        weights = np.exp(keys @ prepared("query", own, x[b, t], t) / np.sqrt(size))
        mixed[b, t, own] = weights / weights.sum() @ np.array(values)
    return dense(p["output"], mixed)


def turned(pairs, position, base):
    half = len(pairs) // 2
    angles = position * base ** (-np.arange(half) / half)
    both = (pairs[:half] + 1j * pairs[half:]) * np.exp(1j * angles)
    return np.concatenate([both.real, both.imag])


def plain_network(activation, p, x):
    up = dense(p["up"], x)
    if activation == "swiglu":
        return dense(p["down"], silu(dense(p["gate"], x)) * up)
    function = {"squared_relu": lambda x: np.maximum(x, 0) ** 2, "gelu": gelu}
    return dense(p["down"], function[activation](up))


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"activation": "squared_relu", "positions": "learned"},
        rare({"kv_heads": 1}),
        {"kv_heads": 2, "biases": True},
        rare({"window": 1}),
        rare({"window": 5, "positions": "learned"}),
        {"window": 2, "global_tokens": 3, "kv_heads": 2},
        {"experts": 4},
        rare(GPT2),
        LLAMA,
        QWEN3,
    ],
    ids=str,
)
def test_network_of_one_block_is_the_formula(changes):
    options = Gpt(layers=1, width=16, heads=4, **changes)
    _, variables = built(options)
    large = jax.tree.map(lambda x: 3 * x + 0.05, variables)
    p = exact(large["params"])
    kind = layer_norm if options.norm == "layer" else rms_norm
    norm = functools.partial(kind, epsilon=options.epsilon)
    block = p["blocks_0"]
    found = logits_of(options, large, tokens())
    x = p["embedding"]["embedding"][tokens()]
    if options.positions == "learned":
        x = x + p["positions"]["embedding"][None]
    x = x + plain_attention(block["attention"], norm(block["norm_attention"], x), options)
    normed = norm(block["norm_feed_forward"], x)
    if options.experts:
        mixture = MixtureOfExperts(4, 2, None, 64, "gelu", jnp.dtype("float32"), residual_init(1))
        own = {"params": large["params"]["blocks_0"]["feed_forward"]}
        mixed, routing = mixture.apply(own, jnp.asarray(normed, jnp.float32), train=False)
        np.testing.assert_array_equal(found.chosen[:, :, 0], routing.chosen)
        found, x = found.logits, x + exact(mixed)
    else:
        x = x + plain_network(options.activation, block["feed_forward"], normed)
    head = p["embedding"]["embedding"].T if options.tied else p["head"]["kernel"]
    expected = norm(p["norm"], x) @ head
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-4)
