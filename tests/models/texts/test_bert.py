import jax
import jax.numpy as jnp
import numpy as np
import pytest
from formulas import dense, exact, gelu, layer_norm, softmax

from bigmodel.models.texts.bert import Bert
from bigmodel.tree import named_leaves

VOCAB, CONTEXT, CLASSES = 11, 6, 3
TINY = Bert(layers=1, width=8, heads=2, expansion=2)


def batch(lengths=(6, 4)):
    tokens = jax.random.randint(jax.random.key(0), (2, CONTEXT), 0, VOCAB + 1, jnp.int32)
    chosen = jnp.array([[1, 4], [0, 3]], jnp.int32)
    return {"tokens": tokens, "length": jnp.array(lengths, jnp.int32), "chosen": chosen}


def models(**changes):
    sizes = {"vocab_size": VOCAB, "context": CONTEXT}
    return TINY.masked(**sizes), TINY.classifier(CLASSES, **sizes, **changes)


def initial(model):
    variables = model.init(jax.random.key(1), batch())
    # Larger than they begin, so that nothing is lost in rounding; norms and biases not trivial.
    return {**variables, "params": jax.tree.map(lambda x: 2 * x + 0.05, variables["params"])}


def outputs(model, variables, batch):
    return model.apply(variables, batch, train=False)[0]


def plain_encoder(p, tokens, length):
    """One text alone, without its padding, in float64."""
    x = p["embedding"]["embedding"][[VOCAB + 1, *tokens[:length]]]
    x = layer_norm(p["norm_embedding"], x + p["positions"]["embedding"][: length + 1])
    block = p["blocks_0"]
    normed = layer_norm(block["norm_attention"], x)
    mixed = np.zeros_like(x)
    attention = {name: part["kernel"] for name, part in block["attention"].items()}
    for head in (slice(0, 4), slice(4, 8)):
        query, key, value = (normed @ attention[n][:, head] for n in ("query", "key", "value"))
        mixed[:, head] = softmax(query @ key.T / 2) @ value
    x = x + mixed @ attention["output"]
    hidden = gelu(dense(block["feed_forward"]["up"], layer_norm(block["norm_feed_forward"], x)))
    return layer_norm(p["norm"], x + dense(block["feed_forward"]["down"], hidden))


def test_logits_at_the_masks_are_the_formula_for_each_text_without_its_padding():
    model, _ = models()
    variables = initial(model)
    p, read = exact(variables["params"]), batch()
    found = outputs(model, variables, read)
    for row, (tokens, length) in enumerate(zip(read["tokens"], read["length"], strict=True)):
        x = plain_encoder(p["encoder"], np.asarray(tokens), int(length))[1:][read["chosen"][row]]
        x = gelu(dense(p["transform"], x))
        vocabulary = p["encoder"]["embedding"]["embedding"][:VOCAB]
        expected = layer_norm(p["norm"], x) @ vocabulary.T + p["bias"]
        np.testing.assert_allclose(found[row], expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("pooling", ["first", "mean"])
def test_logits_of_the_classes_are_the_formula(pooling):
    _, model = models(pooling=pooling)
    variables = initial(model)
    p, read = exact(variables["params"]), batch()
    found = outputs(model, variables, read)
    for row, (tokens, length) in enumerate(zip(read["tokens"], read["length"], strict=True)):
        x = plain_encoder(p["encoder"], np.asarray(tokens), int(length))
        pooled = x[0] if pooling == "first" else x[1:].mean(axis=0)
        expected = dense(p["head"], pooled)
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
