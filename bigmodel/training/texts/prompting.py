"""What a language model answers to a prompt: how it goes on, at once or piece by piece."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

import jax
import numpy as np

from bigmodel.data.dialogues.chat import Chat
from bigmodel.data.texts.reading import PromptReader
from bigmodel.data.texts.tokenizers import Tokenizer
from bigmodel.experiment import Batch, InputError, Model, PyTree, Variables
from bigmodel.models.texts.generation import Decoder, Prompts, Sampling, continuation, generate
from bigmodel.predictor import Predictor

BROKEN = "\ufffd"
"""What bytes that are no whole character are decoded to."""


def prompt_predictor(
    decoder: Decoder,
    tokenizer: Tokenizer,
    sampling: Sampling,
    *,
    context: int,
    model: Model | None = None,
    chat: Chat | None = None,
) -> Predictor:
    """A predictor of the continuation of a prompt.

    Args:
        decoder: the model with its cache.
        tokenizer: of prompts and continuations.
        sampling: how many tokens there are, how they are drawn, and at which texts one ends.
        context: tokens that the model was trained to read at once, the most that a prompt has.
        model: the same network without its cache, for those who ask for logits.
        chat: how questions become texts, of a model that was trained on dialogues; its answers
            end where the template ends them.

    Raises:
        InputError: so many tokens are more than the model has positions for.
    """
    most = longest_prompt(decoder.limit, sampling, context=context)
    reader = PromptReader(tokenizer, most, sampling.seed, chat and chat.asked)
    stops = (*sampling.stop, chat.end) if chat and chat.end else sampling.stop
    following = continuation(decoder, sampling)
    begin, advance = jax.jit(following.begin), jax.jit(following.advance, donate_argnums=1)

    def apply(variables: Variables, batch: Batch) -> PyTree:
        return generate(following, variables["params"], Prompts(**batch), tokens=sampling.tokens)

    def decode(outputs: PyTree) -> list[Any]:
        return [answer(row, tokenizer.decode, stops) for row in np.asarray(outputs)]

    def drawn_one_by_one(variables: Variables, each: Any) -> Iterator[int]:
        batch: Batch = reader.encode([each])
        prompts = Prompts(**batch)
        progress = begin(variables["params"], prompts)
        for position in range(prompts.tokens.shape[1], prompts.length[0] + sampling.tokens):
            if position >= prompts.length[0]:
                yield int(progress.tokens[0])
            if position + 1 < prompts.length[0] + sampling.tokens:
                progress = advance(variables["params"], progress, prompts)

    def stream(variables: Variables, each: Any) -> Iterator[str]:
        return pieces(drawn_one_by_one(variables, each), tokenizer.decode, stops)

    what = f"how each goes on, for {sampling.tokens} tokens"
    return Predictor(reader.encode, apply, decode, reader.kind, reader.inputs, what, stream, model)


def longest_prompt(limit: int | None, sampling: Sampling, *, context: int) -> int:
    """How many tokens a prompt may have, so that the new ones have positions after it.

    Raises:
        InputError: the new ones alone are more than there are positions.
    """
    most = context if limit is None else limit - sampling.tokens + 1
    if most < 1:
        raise InputError(
            f"--sampling.tokens {sampling.tokens} do not fit into {limit} learned positions; "
            "generate fewer, or use --model.positions rotary"
        )
    return most


Decode = Callable[[np.ndarray], str]


def answer(ids: np.ndarray, decode: Decode, stops: Sequence[str]) -> dict[str, Any]:
    """The text of tokens before the first of the stop texts, and the tokens that made it.

    The last of these completes the stop text.
    """

    def stopped(count: int) -> bool:
        return end_of(decode(ids[:count]), stops) is not None

    text = decode(ids)
    end = end_of(text, stops)
    if end is not None:
        ids = ids[: bisect_left(range(len(ids)), True, key=stopped)]
    return {"text": text[:end], "tokens": ids.tolist()}


def end_of(text: str, stops: Sequence[str]) -> int | None:
    """Where the stop text begins that is complete first; None where there is none."""
    found = [(at + len(stop), at) for stop in stops if (at := text.find(stop)) >= 0]
    return min(found)[1] if found else None


def pieces(tokens: Iterable[int], decode: Decode, stops: Sequence[str]) -> Iterator[str]:
    """The text of tokens as soon as it is certain, in whole characters, up to a stop text."""
    waiting: list[int] = []
    held = ""
    for token in tokens:
        waiting.append(token)
        text = decode(np.array(waiting, np.int32))
        if text.endswith(BROKEN):
            continue
        waiting.clear()
        held += text
        if end_of(held, stops) is not None:
            break
        certain = len(held) - _begun(held, stops)
        if certain:
            yield held[:certain]
        held = held[certain:]
    held += decode(np.array(waiting, np.int32)) if waiting else ""
    if rest := held[: end_of(held, stops)]:
        yield rest


def _begun(text: str, stops: Sequence[str]) -> int:
    """How many characters at the end of a text may be the beginning of a stop text."""
    longest = max((len(stop) - 1 for stop in stops), default=0)
    for count in range(min(longest, len(text)), 0, -1):
        if any(stop.startswith(text[-count:]) for stop in stops):
            return count
    return 0
