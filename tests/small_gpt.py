"""A GPT small enough for formulas written out, each built once."""

import functools
from functools import partial

import jax
import jax.numpy as jnp
from initial import initial

VOCAB, CONTEXT = 11, 8
TINY = {"layers": 2, "width": 16, "heads": 2}
LLAMA = {"activation": "swiglu", "kv_heads": 2, "tied": False, "expansion": 2.67, "window": 3}
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
    return jax.jit(partial(model.apply, train=False))


def logits_of(options, variables, tokens):
    return applied(options)(variables, {"tokens": tokens})[0]


def shapes_of(options):
    model = options.build(vocab_size=VOCAB, context=CONTEXT)
    return jax.eval_shape(model.init, jax.random.key(1), {"tokens": tokens()})["params"]


def count(options):
    return sum(leaf.size for leaf in jax.tree.leaves(shapes_of(options)))
