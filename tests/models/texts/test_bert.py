import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.test_util import check_grads

from bigmodel.models.texts.bert import Bert
from bigmodel.tree import named_leaves

VOCAB, CONTEXT, CLASSES = 11, 6, 3
TINY = Bert(layers=1, width=8, heads=2, expansion=2)


def batch(lengths=(6, 4)):
    tokens = jax.random.randint(jax.random.key(0), (2, CONTEXT), 0, VOCAB + 1, jnp.int32)
    chosen = jnp.array([[1, 4], [0, 3]], jnp.int32)
    return {"tokens": tokens, "length": jnp.array(lengths, jnp.int32), "chosen": chosen}


def models(options=TINY, **changes):
    sizes = {"vocab_size": VOCAB, "context": CONTEXT}
    return options.masked(**sizes), options.classifier(CLASSES, **sizes, **changes)


def initial(model):
    variables = model.init(jax.random.key(1), batch())
    # Larger than they begin, so that nothing is lost in rounding; norms and biases not trivial.
    return {**variables, "params": jax.tree.map(lambda x: 2 * x + 0.05, variables["params"])}


def outputs(model, variables, batch, **options):
    return model.apply(variables, batch, **{"train": False, "key": None} | options)[0]


def plain_norm(p, x):
    x = x - x.mean(axis=-1, keepdims=True)
    return x / np.sqrt((x**2).mean(axis=-1, keepdims=True) + 1e-6) * p["scale"] + p["bias"]


def gelu(x):
    return 0.5 * x * (1 + np.tanh(np.sqrt(2 / np.pi) * (x + 0.044715 * x**3)))


def plain_encoder(p, tokens, length):
    """One text alone, without its padding, in float64."""
    x = p["embedding"]["embedding"][[VOCAB + 1, *tokens[:length]]]
    x = plain_norm(p["norm_embedding"], x + p["positions"]["embedding"][: length + 1])
    block = p["blocks_0"]
    normed = plain_norm(block["norm_attention"], x)
    mixed = np.zeros_like(x)
    attention = {name: part["kernel"] for name, part in block["attention"].items()}
    for head in (slice(0, 4), slice(4, 8)):
        query, key, value = (normed @ attention[n][:, head] for n in ("query", "key", "value"))
        weights = np.exp(query @ key.T / 2)
        mixed[:, head] = weights / weights.sum(axis=1, keepdims=True) @ value
    x = x + mixed @ attention["output"]
    hidden = gelu(plain_norm(block["norm_feed_forward"], x) @ block["feed_forward"]["up"]["kernel"])
    return plain_norm(p["norm"], x + hidden @ block["feed_forward"]["down"]["kernel"])


def exact(variables):
    return jax.tree.map(lambda x: np.asarray(x, np.float64), variables["params"])


def test_logits_at_the_masks_are_the_formula_for_each_text_without_its_padding():
    model, _ = models()
    variables = initial(model)
    p, read = exact(variables), batch()
    found = outputs(model, variables, read)
    for row, (tokens, length) in enumerate(zip(read["tokens"], read["length"], strict=True)):
        x = plain_encoder(p["encoder"], np.asarray(tokens), int(length))[1:][read["chosen"][row]]
        x = gelu(x @ p["transform"]["kernel"] + p["transform"]["bias"])
        vocabulary = p["encoder"]["embedding"]["embedding"][:VOCAB]
        expected = plain_norm(p["norm"], x) @ vocabulary.T + p["bias"]
        np.testing.assert_allclose(found[row], expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("pooling", ["first", "mean"])
def test_logits_of_the_classes_are_the_formula(pooling):
    _, model = models(pooling=pooling)
    variables = initial(model)
    p, read = exact(variables), batch()
    found = outputs(model, variables, read)
    for row, (tokens, length) in enumerate(zip(read["tokens"], read["length"], strict=True)):
        x = plain_encoder(p["encoder"], np.asarray(tokens), int(length))
        pooled = x[0] if pooling == "first" else x[1:].mean(axis=0)
        expected = pooled @ p["head"]["kernel"] + p["head"]["bias"]
        np.testing.assert_allclose(found[row], expected, rtol=1e-4, atol=1e-4)


def test_what_is_padding_changes_nothing_and_an_empty_text_is_finite():
    for model in models():
        variables = initial(model)
        read = batch()
        other = {**read, "tokens": read["tokens"].at[1, 4:].add(1)}
        found = outputs(model, variables, read)
        np.testing.assert_array_equal(found, outputs(model, variables, other))
        assert jnp.isfinite(outputs(model, variables, batch((6, 0)))).all()


def test_a_position_sees_both_sides():
    model, _ = models()
    variables = initial(model)
    read = batch((6, 6))
    read["chosen"] = jnp.full((2, 1), 3, jnp.int32)
    found = outputs(model, variables, read)
    for at in (0, 5):
        tokens = read["tokens"].at[:, at].add(1) % VOCAB
        assert jnp.abs(outputs(model, variables, {**read, "tokens": tokens}) - found).max() > 1e-3


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


@pytest.mark.parametrize("number", [0, 1])
def test_gradient_is_that_of_finite_differences_and_no_parameter_is_without(number):
    model = models()[number]
    variables = initial(model)

    def logits(variables):
        return outputs(model, variables, batch())

    check_grads(logits, (variables,), order=1, modes=["rev"], rtol=2e-2)
    gradients = jax.grad(lambda v: jnp.square(logits(v) - 1).sum())(variables)
    for name, gradient in named_leaves(gradients["params"]).items():
        assert jnp.abs(gradient).max() > 1e-4, name
