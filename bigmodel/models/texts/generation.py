"""Sampling from an autoregressive model with a key-value cache."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Float, Int, UInt32

from bigmodel.experiment import InputError, Key, PyTree, Size


@dataclass(frozen=True)
class Sampling:
    """How samples of text are generated at evaluations."""

    prompt: str = ""
    """beginning of the sample; by default the first word of the data"""
    tokens: int = 100
    """number of tokens to generate"""
    temperature: float = 0.8
    """divisor of the logits; below 1 makes likelier text, 0 always takes the likeliest token"""
    top_k: int = 0
    """number of likeliest tokens to draw from; 0 for all"""
    top_p: float = 1.0
    """probability that the likeliest tokens to draw from reach together; 1 for all"""
    seed: int = 0
    """seed of the draws, the same at each evaluation"""
    stop: tuple[str, ...] = ()
    """texts at the first of which a sample ends, without it"""

    def __post_init__(self) -> None:
        """Raises InputError when an option is out of range."""
        if any("\ud800" <= character <= "\udfff" for character in self.prompt):
            raise InputError("--sampling.prompt is not UTF-8; give it in the terminal's encoding")
        if self.tokens < 1:
            raise InputError(f"--sampling.tokens {self.tokens} is too small; use 1 or more")
        if not 0 <= self.temperature < float("inf"):
            raise InputError(f"--sampling.temperature {self.temperature} must be 0 or more")
        if self.top_k < 0:
            raise InputError(f"--sampling.top-k {self.top_k} must be 0 (off) or more")
        if not 0 < self.top_p <= 1:
            raise InputError(f"--sampling.top-p {self.top_p} must be above 0 and at most 1 (off)")
        if "" in self.stop:
            raise InputError("--sampling.stop has an empty text, at which every sample ends")


class Decoder(NamedTuple):
    """A causal model with a key-value cache.

    ``empty(batch)`` is the cache without any position. ``decode_step(params, tokens, cache)``
    returns the logits after the last of tokens that follow those in the cache, float32
    ``[batch, vocabulary]``, and the updated cache. ``limit`` is the largest number of positions,
    None if there is none.
    """

    empty: Callable[[Size], Any]
    decode_step: Callable[[PyTree, Int[Array, "batch time"], Any], tuple[Array, Any]]
    limit: int | None


def truncate(
    logits: Float[Array, "batch vocabulary"], *, temperature: float, top_k: int, top_p: float
) -> Float[Array, "batch vocabulary"]:
    """Logits over the temperature, minus infinity for the tokens that are not drawn.

    ``top_k`` keeps the k likeliest tokens (Fan et al., 2018). Of these ``top_p`` keeps the
    fewest likeliest ones whose probabilities reach p (Holtzman et al., 2020).
    """
    logits = logits / temperature
    if 0 < top_k < logits.shape[-1]:
        least = lax.top_k(logits, top_k)[0][:, -1:]
        logits = jnp.where(logits < least, -jnp.inf, logits)
    if top_p < 1:
        descending = -jnp.sort(-logits, axis=-1)
        probabilities = jax.nn.softmax(descending, axis=-1)
        likelier = jnp.cumsum(probabilities, axis=-1) - probabilities
        least = jnp.where(likelier < top_p, descending, jnp.inf).min(axis=-1, keepdims=True)
        logits = jnp.where(logits < least, -jnp.inf, logits)
    return logits


def sample(
    key: Key,
    logits: Float[Array, "batch vocabulary"],
    *,
    temperature: float = 1.0,
    top_k: int = 0,
    top_p: float = 1.0,
) -> Int[Array, "batch"]:
    """Draw a token from ``softmax(truncate(logits))``; temperature 0 takes the likeliest."""
    if temperature == 0:
        return logits.argmax(axis=-1).astype(jnp.int32)
    kept = truncate(logits, temperature=temperature, top_k=top_k, top_p=top_p)
    return jax.random.categorical(key, kept, axis=-1).astype(jnp.int32)


class Prompts(NamedTuple):
    """Prompts of different lengths, in arrays that have few different shapes.

    ``tokens`` are the first ones, of which all prompts have so many; ``rest`` are those that
    follow, filled up at the end; ``length`` is that of the whole prompt. ``seed`` decides what is
    drawn.
    """

    tokens: Int[Array, "batch first"]
    rest: Int[Array, "batch others"]
    length: Int[Array, "batch"]
    seed: UInt32[Array, "batch"]


class Progress(NamedTuple):
    """The tokens at a position, and the cache of all positions before it."""

    tokens: Int[Array, "batch"]
    position: Int[Array, ""]
    cache: Any


class Continuation(NamedTuple):
    """How prompts are continued.

    ``begin(params, prompts)`` reads the first tokens; ``advance(params, progress, prompts)`` goes
    on by a position, at which a longer prompt is read further and a shorter one has a new token.
    """

    begin: Callable[[PyTree, Prompts], Progress]
    advance: Callable[[PyTree, Progress, Prompts], Progress]


def continuation(decoder: Decoder, options: Sampling) -> Continuation:
    """The continuation of prompts by draws, as :func:`sample` makes them.

    New token ``n`` of a prompt is drawn with ``fold_in(key(seed), n)``: what follows a prompt does
    not depend on those beside it.
    """

    def choose(
        logits: Float[Array, "batch vocabulary"], position: Array, prompts: Prompts
    ) -> Int[Array, "batch"]:
        def draw(logits: Float[Array, "vocabulary"], seed: Array, new: Array) -> Array:
            key = jax.random.fold_in(jax.random.key(seed), new)
            [token] = sample(
                key,
                logits[None],
                temperature=options.temperature,
                top_k=options.top_k,
                top_p=options.top_p,
            )
            return token

        drawn = jax.vmap(draw)(logits, prompts.seed, position - prompts.length)
        at = position - prompts.tokens.shape[1]
        given = lax.dynamic_index_in_dim(prompts.rest, at, axis=1, keepdims=False)
        return jnp.where(position < prompts.length, given, drawn)

    def begin(params: PyTree, prompts: Prompts) -> Progress:
        batch, first = prompts.tokens.shape
        logits, cache = decoder.decode_step(params, prompts.tokens, decoder.empty(batch))
        position = jnp.asarray(first, jnp.int32)
        return Progress(choose(logits, position, prompts), position, cache)

    def advance(params: PyTree, progress: Progress, prompts: Prompts) -> Progress:
        logits, cache = decoder.decode_step(params, progress.tokens[:, None], progress.cache)
        position = progress.position + 1
        return Progress(choose(logits, position, prompts), position, cache)

    return Continuation(begin, advance)


def generate(
    following: Continuation, params: PyTree, prompts: Prompts, *, tokens: int
) -> Int[Array, "batch {tokens}"]:
    """So many new tokens of each prompt; to be called under ``jax.jit``."""
    batch, first = prompts.tokens.shape
    places = jnp.zeros((batch, prompts.rest.shape[1] + tokens), jnp.int32)

    def put(progress: Progress, places: Array) -> tuple[Progress, Array]:
        column, at = progress.tokens[:, None], progress.position - first
        return progress, lax.dynamic_update_slice_in_dim(places, column, at, axis=1)

    def step(_: Array, carry: tuple[Progress, Array]) -> tuple[Progress, Array]:
        return put(following.advance(params, carry[0], prompts), carry[1])

    start = put(following.begin(params, prompts), places)
    last = prompts.length.max() + tokens - 1
    _, places = lax.fori_loop(jnp.asarray(first, jnp.int32), last, step, start)
    new = prompts.length[:, None] - first + jnp.arange(tokens, dtype=jnp.int32)[None]
    return jnp.take_along_axis(places, new, axis=1)
