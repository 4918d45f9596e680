import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from initial import initial
from rare import rare

from bigmodel.models.texts.generation import (
    Prompts,
    Sampling,
    continuation,
    generate,
    sample,
    truncate,
)
from bigmodel.models.texts.gpt import Gpt

VOCAB, CONTEXT = 13, 8


@functools.cache
def network(**options):
    options = Gpt(layers=3, width=16, heads=4, **options)
    model = options.build(vocab_size=VOCAB, context=CONTEXT)
    tokens = jnp.zeros((1, CONTEXT), jnp.int32)
    variables = initial(model.init, jax.random.key(0), {"tokens": tokens})
    variables = jax.tree.map(lambda x: 1.5 * x, variables)

    @jax.jit
    def logits(tokens):
        outputs, _ = model.apply(variables, {"tokens": tokens}, train=False, key=None)
        return getattr(outputs, "logits", outputs)

    decoder = options.decoder(vocab_size=VOCAB, context=CONTEXT)
    return logits, decoder._replace(decode_step=jax.jit(decoder.decode_step)), variables["params"]


def generated(decoder, params, prompts, seeds=None, **options):
    """The continuations of prompts, read together as far as all of them go."""
    sampling = Sampling(**options)
    lengths = np.array([len(prompt) for prompt in prompts], np.int32)
    first, others = lengths.min(), lengths.max() - lengths.min() + 1
    filled = np.zeros((len(prompts), first + others), np.int32)
    for row, prompt in zip(filled, prompts, strict=True):
        row[: len(prompt)] = prompt
    seeds = np.array(seeds or [0] * len(prompts), np.uint32)
    read = Prompts(filled[:, :first], filled[:, first:], lengths, seeds)
    apply = functools.partial(generate, continuation(decoder, sampling), tokens=sampling.tokens)
    return np.asarray(jax.jit(apply)(params, read))


def tokens(length):
    return jax.random.randint(jax.random.key(7), (2, length), 0, VOCAB, jnp.int32)


@pytest.mark.parametrize(
    ("options", "pieces"),
    [
        ({}, [3, 1, 1, 3]),
        rare({"positions": "learned"}, [3, 1, 1, 3]),
        ({}, [1] * 20),  # past the context, one by one
        rare({}, [5, 7, 1, 1]),  # a piece that runs over the context's end
        rare({}, [19, 1, 2]),  # a prompt longer than the context
        rare({"kv_heads": 1}, [3, 1, 1, 3]),
        rare({"kv_heads": 2, "window": 3}, [3, 1, 1, 3]),
        rare({"window": 5, "norm": "layer", "biases": True}, [3, 1, 1, 3]),
        rare({"window": 1}, [3, 1, 1, 3]),
        ({"window": 3, "global_tokens": 2, "kv_heads": 2}, [1, 2, 1, 1, 6, 1, 2]),
        rare({"window": 2, "global_tokens": 5}, [19, 1, 2]),
        rare({"window": 3, "global_tokens": 2, "scan": True}, [7, 1, 1, 3]),
        rare({"head_size": 6, "query_key_norm": True, "qkv_biases": True}, [3, 1, 1, 3]),
        ({"experts": 4, "capacity": 1.0}, [3, 1, 1, 3]),
        rare({"positions": "learned", "window": 3}, [3, 1, 1, 3]),
        ({"scan": True, "window": 4}, [3, 1, 1, 3]),
    ],
    ids=str,
)
def test_cached_logits_are_those_of_the_whole_text(options, pieces):
    logits, decoder, params = network(**options)
    text = tokens(sum(pieces))
    cache, cached = decoder.empty(2), []
    slots = options.get("window", CONTEXT) + options.get("global_tokens", 0)
    held = options.get("kv_heads", 4), slots
    assert {leaf.shape[-4:] for leaf in jax.tree.leaves(cache.layers)} == {
        (2, *held, options.get("head_size", 4))
    }
    for piece in np.split(text, np.cumsum(pieces)[:-1], axis=1):
        piece_logits, cache = decoder.decode_step(params, piece, cache)
        cached.append(piece_logits)
    expected = logits(text)[:, np.cumsum(pieces) - 1]
    np.testing.assert_allclose(jnp.stack(cached, axis=1), expected, atol=2e-5)


def test_logits_past_the_context_are_blind_to_what_no_layer_can_reach():
    logits, _, _ = network()
    reach = 3 * (CONTEXT - 1)
    text = tokens(reach + 2)
    outside, inside = text.at[:, 0].add(1) % VOCAB, text.at[:, 1].add(1) % VOCAB
    last = [logits(x)[:, -1] for x in (text, outside, inside)]
    np.testing.assert_array_equal(last[0], last[1])
    assert jnp.abs(last[0] - last[2]).max() > 0


@pytest.mark.parametrize("new", [1, 5, 20])
def test_temperature_zero_takes_the_likeliest_token_at_each_step(new):
    logits, decoder, params = network()
    prompt = tokens(3)
    found = generated(decoder, params, prompt, tokens=new, temperature=0.0)
    text = jnp.concatenate([prompt, found], axis=1)
    np.testing.assert_array_equal(found, logits(text)[:, 2:-1].argmax(axis=-1))


def test_the_same_seed_draws_the_same_text_and_another_seed_another():
    _, decoder, params = network()
    prompts = [np.array([1, 2])] * 3
    first, again, other = generated(decoder, params, prompts, [0, 0, 1], tokens=12)
    np.testing.assert_array_equal(first, again)
    assert np.any(first != other)


@pytest.mark.parametrize(
    ("options", "temperature"),
    [
        ({"window": 3, "global_tokens": 2}, 1.0),
        rare({"experts": 4}, 0.0),
        *(rare({}, temperature) for temperature in (0.0, 1.0)),
    ],
    ids=str,
)
def test_a_prompt_goes_on_as_it_does_alone_whatever_is_beside_it(options, temperature):
    _, decoder, params = network(**options)
    text = np.asarray(tokens(30))
    prompts, seeds = [text[0, :2], text[1, :9], text[0, 3:8], text[1, :30]], [3, 1, 4, 1]
    together = generated(decoder, params, prompts, seeds, tokens=6, temperature=temperature)
    for row, prompt, seed in zip(together, prompts, seeds, strict=True):
        alone = generated(decoder, params, [prompt], [seed], tokens=6, temperature=temperature)
        np.testing.assert_array_equal(row, alone[0])


def kept_by_formula(logits, temperature, top_k, top_p):
    """Probabilities after truncation, one row at a time."""
    rows = []
    for row in np.asarray(logits, np.float64) / temperature:
        order = np.argsort(-row)[: top_k or len(row)]
        probabilities = np.exp(row[order]) / np.exp(row[order]).sum()
        needed = 1 + np.searchsorted(np.cumsum(probabilities), top_p) if top_p < 1 else len(order)
        order = order[:needed]
        kept = np.zeros_like(row)
        kept[order] = np.exp(row[order]) / np.exp(row[order]).sum()
        rows.append(kept)
    return np.array(rows)


@pytest.mark.parametrize("temperature", [0.5, 1.0, 2.0])
@pytest.mark.parametrize("top_k", [0, 1, 5, 99])
@pytest.mark.parametrize("top_p", [1.0, 0.9, 0.4, 1e-6])
def test_truncated_logits_are_the_formula(temperature, top_k, top_p):
    logits = 2 * jax.random.normal(jax.random.key(3), (4, 20), jnp.float32)
    kept = truncate(logits, temperature=temperature, top_k=top_k, top_p=top_p)
    expected = kept_by_formula(logits, temperature, top_k, top_p)
    np.testing.assert_allclose(jax.nn.softmax(kept, axis=-1), expected, atol=1e-6)


def test_draws_have_the_truncated_probabilities():
    logits = jnp.array([[1.0, 0.5, 0.0, -0.5, 3.0]], jnp.float32)
    options = {"temperature": 1.5, "top_k": 4, "top_p": 0.95}
    keys = jax.random.split(jax.random.key(0), 20_000)
    draws = jax.vmap(lambda key: sample(key, logits, **options)[0])(keys)
    frequencies = np.bincount(draws, minlength=5) / len(draws)
    expected = kept_by_formula(logits, *options.values())[0]
    assert expected[3] == 0
    np.testing.assert_allclose(frequencies, expected, atol=0.015)
