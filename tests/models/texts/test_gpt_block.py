import jax
import numpy as np
import pytest
from small_gpt import CONTEXT, GPT2, LLAMA, built, logits_of, tokens

from bigmodel.models.texts.gpt import Gpt


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
