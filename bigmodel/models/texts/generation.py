"""Sampling from an autoregressive model with a key-value cache."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Float, Int

from bigmodel.experiment import InputError, Key, PyTree


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


class Decoder(NamedTuple):
    """A causal model with a key-value cache.

    ``empty(batch)`` is the cache without any position. ``decode_step(params, tokens, cache)``
    returns the logits at tokens that follow those in the cache, and the updated cache. ``limit``
    is the largest number of positions, None if there is none.
    """

    empty: Callable[[int], Any]
    decode_step: Callable[[PyTree, Int[Array, "batch time"], Any], tuple[Float[Array, "..."], Any]]
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


def generate(
    decoder: Decoder,
    params: PyTree,
    prompt: Int[Array, "batch time"],
    *,
    key: Key,
    tokens: int,
    temperature: float = 1.0,
    top_k: int = 0,
    top_p: float = 1.0,
) -> Int[Array, "batch tokens"]:
    """Generate a continuation of the prompt; to be called under ``jax.jit``.

    The prompt goes through the model at once, then each token by itself with the cache.

    Raises:
        InputError: prompt and tokens are longer than the model's positions.
    """
    check_length(decoder, prompt=prompt.shape[1], tokens=tokens)
    logits, cache = decoder.decode_step(params, prompt, decoder.empty(prompt.shape[0]))

    def draw(logits: Float[Array, "batch vocabulary"], step: Array) -> Int[Array, "batch"]:
        key_of_step = jax.random.fold_in(key, step)
        return sample(key_of_step, logits, temperature=temperature, top_k=top_k, top_p=top_p)

    def following(carry: tuple[Array, Any], step: Array) -> tuple[tuple[Array, Any], Array]:
        token, cache = carry
        logits, cache = decoder.decode_step(params, token[:, None], cache)
        return (draw(logits[:, -1], step), cache), token

    first = draw(logits[:, -1], jnp.zeros((), jnp.int32))
    steps = jnp.arange(1, tokens, dtype=jnp.int32)
    (last, _), drawn = lax.scan(following, (first, cache), steps)
    return jnp.concatenate([drawn.T, last[:, None]], axis=1)


def check_length(decoder: Decoder, *, prompt: int, tokens: int) -> None:
    """Raises InputError when prompt and new tokens are longer than the model's positions."""
    if decoder.limit is not None and prompt + tokens - 1 > decoder.limit:
        raise InputError(
            f"a prompt of {prompt} tokens and --sampling.tokens {tokens} do not fit into "
            f"{decoder.limit} learned positions; generate fewer, or use --model.positions rotary"
        )
