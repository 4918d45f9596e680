from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from formulas import dense, exact, gelu, gelu_exact, layer_norm, softmax
from rare import rare

from bigmodel.models.texts.bert import Bert
from bigmodel.tree import named_leaves

VOCAB, CONTEXT, CLASSES = 11, 6, 3
TINY = Bert(layers=1, width=8, heads=2, expansion=2)
PUBLISHED = replace(
    TINY, norm="post", biases=True, token_types=2, activation="gelu_exact", epsilon=1e-2
)
SPECIAL = {"first": 9, "separator": 7, "mask": 8}
BOTH = pytest.mark.parametrize(
    ("options", "special"),
    [
        (TINY, {}),
        (PUBLISHED, SPECIAL),
        (replace(TINY, window=2), {}),
        rare(replace(TINY, window=2, global_tokens=2), {}),
        rare(replace(TINY, window=10**12), {}),
    ],
    ids=["pre-norm", "published", "window", "global", "wide"],
)


def batch(lengths=(6, 4)):
    tokens = jax.random.randint(jax.random.key(0), (2, CONTEXT), 0, VOCAB, jnp.int32)
    tokens = tokens.at[:, 1].set(SPECIAL["separator"])
    chosen = jnp.array([[1, 4], [0, 3]], jnp.int32)
    return {"tokens": tokens, "length": jnp.array(lengths, jnp.int32), "chosen": chosen}


def models(options=TINY, special=(), **changes):
    sizes = {"vocab_size": VOCAB, "context": CONTEXT, "special": dict(special)}
    return options.masked(**sizes), options.classifier(CLASSES, **sizes, **changes)


def initial(model):
    variables = model.init(jax.random.key(1), batch())
    # Larger than they begin, so that nothing is lost in rounding; norms and biases not trivial.
    return {**variables, "params": jax.tree.map(lambda x: 2 * x + 0.05, variables["params"])}


def outputs(model, variables, batch):
    return model.apply(variables, batch, train=False)[0]


def plain_mask(time, options):
    """What is seen, of which the vector before the text is always a global token."""
    at, first = np.arange(time), max(1, options.global_tokens)
    near = np.abs(at[:, None] - at) <= (options.window or 2 * time) // 2
    return near | (at < first) | (at < first)[:, None]


def plain_encoder(p, tokens, length, options=TINY, special=()):
    """One text alone, without its padding, in float64."""
    published, block = options.norm == "post", p["blocks_0"]
    activation = gelu_exact if published else gelu

    def norm(name, x, *, after):
        return layer_norm(name, x, options.epsilon) if published == after else x

    tokens = np.array([dict(special).get("first", VOCAB + 1), *tokens[:length]])
    x = p["embedding"]["embedding"][tokens] + p["positions"]["embedding"][: length + 1]
    if published:
        # Both later parts have the second type.
        ended = np.cumsum(tokens == SPECIAL["separator"]) - (tokens == SPECIAL["separator"])
        x = x + p["token_types"]["embedding"][np.minimum(ended, 1)]
    x = layer_norm(p["norm_embedding"], x, options.epsilon)
    read = norm(block["norm_attention"], x, after=False)
    mixed = np.zeros_like(x)
    for head in (slice(0, 4), slice(4, 8)):
        attention = block["attention"]
        query, key, value = (dense(attention[n], read)[:, head] for n in ("query", "key", "value"))
        scores = np.where(plain_mask(length + 1, options), query @ key.T / 2, -np.inf)
        mixed[:, head] = softmax(scores) @ value
    x = norm(block["norm_attention"], x + dense(attention["output"], mixed), after=True)
    read = norm(block["norm_feed_forward"], x, after=False)
    hidden = activation(dense(block["feed_forward"]["up"], read))
    x = x + dense(block["feed_forward"]["down"], hidden)
    x = norm(block["norm_feed_forward"], x, after=True)
    return x if published else layer_norm(p["norm"], x)


@BOTH
def test_logits_at_the_masks_are_the_formula_for_each_text_without_its_padding(options, special):
    model, _ = models(options, special)
    variables = initial(model)
    p, read = exact(variables["params"]), batch()
    found = outputs(model, variables, read)
    for row, (tokens, length) in enumerate(zip(read["tokens"], read["length"], strict=True)):
        x = plain_encoder(p["encoder"], np.asarray(tokens), int(length), options, special)
        x = dense(p["transform"], x[1:][read["chosen"][row]])
        x = (gelu_exact if special else gelu)(x)
        vocabulary = p["encoder"]["embedding"]["embedding"][:VOCAB]
        expected = layer_norm(p["norm"], x, options.epsilon) @ vocabulary.T + p["bias"]
        np.testing.assert_allclose(found[row], expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("pooling", ["first", "mean"])
@pytest.mark.parametrize("pooler", [False, True])
def test_logits_of_the_classes_are_the_formula(pooling, pooler):
    _, model = models(replace(TINY, pooler=pooler), pooling=pooling)
    variables = initial(model)
    p, read = exact(variables["params"]), batch()
    found = outputs(model, variables, read)
    for row, (tokens, length) in enumerate(zip(read["tokens"], read["length"], strict=True)):
        x = plain_encoder(p["encoder"], np.asarray(tokens), int(length))
        pooled = x[0] if pooling == "first" else x[1:].mean(axis=0)
        pooled = np.tanh(dense(p["pooler"], pooled)) if pooler else pooled
        expected = dense(p["head"], pooled)
        np.testing.assert_allclose(found[row], expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("pooling", ["first", "mean"])
@pytest.mark.parametrize("normalized", [False, True])
def test_a_text_is_one_vector_that_may_have_length_1(pooling, normalized):
    model = TINY.vectors(vocab_size=VOCAB, context=CONTEXT, pooling=pooling, normalized=normalized)
    variables = initial(model)
    p, read = exact(variables["params"]), batch()
    found = outputs(model, variables, read)
    for row, (tokens, length) in enumerate(zip(read["tokens"], read["length"], strict=True)):
        x = plain_encoder(p["encoder"], np.asarray(tokens), int(length))
        pooled = x[0] if pooling == "first" else x.mean(axis=0)
        expected = pooled / np.linalg.norm(pooled) if normalized else pooled
        np.testing.assert_allclose(found[row], expected, rtol=1e-4, atol=1e-4)


def test_the_outputs_of_an_empty_text_are_finite():
    for model in models():
        assert jnp.isfinite(outputs(model, initial(model), batch((6, 0)))).all()


def test_both_models_have_the_same_encoder():
    shapes = [
        {
            name: leaf.shape
            for name, leaf in named_leaves(model.init(jax.random.key(0), batch())["params"]).items()
            if name.startswith("encoder/")
        }
        for model in models()
    ]
    assert shapes[0] == shapes[1]
    assert shapes[0]["encoder/embedding/embedding"] == (VOCAB + 2, 8)
    assert shapes[0]["encoder/positions/embedding"] == (CONTEXT + 1, 8)


def test_a_vocabulary_with_special_tokens_gets_no_others():
    model, _ = models(TINY, SPECIAL)
    shapes = jax.eval_shape(model.init, jax.random.key(0), batch())["params"]["encoder"]
    assert shapes["embedding"]["embedding"].shape == (VOCAB, 8)
