"""Dialogues as windows of tokens for language models, of which the answers alone are learned."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Int

from bigmodel.data.dialogues.chat import ANSWERS, Chat, Messages, checked, parsed, read_chat
from bigmodel.data.parts import data_of
from bigmodel.data.personal.masking import NO_MASK, Mask
from bigmodel.data.split import shuffled
from bigmodel.data.texts.reading import TOKENIZER
from bigmodel.data.texts.text import Text, TextData
from bigmodel.data.texts.text_file import read_lines
from bigmodel.data.texts.tokenizers import Tokenizer, learn_tokenizer, load, padded
from bigmodel.experiment import Assets, InputError
from bigmodel.output import note

SPLIT_SEED = 0


class _Dialogue(NamedTuple):
    """Messages, and their text in parts, each an answer or not."""

    messages: Messages
    parts: list[tuple[str, bool]]


def load_dialogues(
    options: TextData,
    assets: Assets | None = None,
    tokenizer: Tokenizer | None = None,
    chat: Chat | None = None,
) -> Text:
    """Reads, divides and tokenizes a file of lines ``{"messages": [{"role", "content"}, ...]}``.

    Batches are those of :func:`bigmodel.data.texts.text.load_text`, a dialogue in each row, with
    ``weight`` 1 where the target is of an answer, a message of the role ``assistant``, or ends one.
    A longer dialogue is cut to its beginning; one without an answer there is left out. Fractions
    of the dialogues are held out at random, always the same ones. The inputs are what comes before
    the last answer.

    Args:
        options: The file, its split and the tokenizer, unless one is given.
        assets: Files of a trained run: all dialogues are then the split ``test`` for it.
        tokenizer: That of a trained model, to use instead of the options'.
        chat: How that model's dialogues become texts.

    Raises:
        InputError: The file cannot be read, a line is no dialogue with an answer, the template
            cannot be used, or an option is out of range.
    """
    if not options.path:
        raise InputError('--data.name dialogues needs --data.path, lines {"messages": [...]}')
    if assets is not None:
        tokenizer, chat = load(assets[TOKENIZER]), read_chat(assets)
    chat = chat or Chat()
    mask = options.masking()
    dialogues = read_dialogues(Path(options.path), chat, mask)
    parts = {"train": dialogues, "test": dialogues}
    if assets is None:
        parts = _divided(dialogues, options)
    if tokenizer is None:
        texts = {
            name: ["".join(text for text, _ in each.parts) for each in found]
            for name, found in parts.items()
        }
        train = texts.pop("train")
        others = [text for found in texts.values() for text in found]
        tokenizer = learn_tokenizer(
            options.tokenizer, train=train, others=others, size=options.vocab_size
        )
    arrays, inputs = {}, {}
    for name, found in parts.items():
        rows = [_row(each.parts, tokenizer, options.context) for each in found]
        kept = [at for at, (_, learned) in enumerate(rows) if learned.any()]
        if len(kept) < len(rows):
            left = f"{len(rows) - len(kept)} of {len(rows)} dialogues of the {name} part have no "
            left += f"answer in their first {options.context} tokens"
            if not kept:
                raise InputError(f"{options.path}: {left}; use a larger --data.context")
            note(f"{options.path}: {left}, and are left out")
        ids = [rows[at][0] for at in kept]
        learned = padded([rows[at][1] for at in kept], options.context)
        arrays[name] = {
            "tokens": padded([each[:-1] for each in ids], options.context),
            "targets": padded([each[1:] for each in ids], options.context),
            "weights": learned.astype(np.float32),
        }
        inputs[name] = [{"messages": _question(found[at].messages)} for at in kept]
    size = options.batch_size if assets is None else min(options.batch_size, len(inputs["test"]))
    files = {TOKENIZER: tokenizer.dump(), **chat.dump()}
    data = data_of(arrays, size, prepare=_prepare, deciding=files, assets=mask.with_counts(files))
    data = data._replace(inputs={name: inputs[name] for name in data.splits})
    opening = _question(dialogues[0].messages)[-1]["content"]
    return Text(data, tokenizer, opening, arrays["train"]["tokens"].ravel())


def read_dialogues(path: Path, chat: Chat, mask: Mask = NO_MASK) -> list[_Dialogue]:
    """The dialogues of a file, a line of JSON each; blank lines do not count.

    Raises:
        InputError: The file cannot be read, or a line, which is named, is no dialogue.
    """
    found = []
    for number, line in enumerate(read_lines(path), start=1):
        if not line.strip():
            continue
        try:
            messages = checked(mask.inside(parsed(line)))
            if all(each["role"] != ANSWERS for each in messages[1:]):
                raise InputError(
                    f'it has no answer, a message of "role": "{ANSWERS}" after another'
                )
            found.append(_Dialogue(messages, chat.turns(messages)))
        except InputError as error:
            raise InputError(f"{path}, line {number}: {error}") from None
    return found


def _divided(dialogues: list[_Dialogue], options: TextData) -> dict[str, list[_Dialogue]]:
    """The parts, of which that of a fraction of 0 is left out."""
    if len(dialogues) < 3:
        raise InputError(
            f"{options.path} has {len(dialogues)} dialogue(s); three are the fewest to divide"
        )
    rest, test = shuffled(len(dialogues), options.test, seed=SPLIT_SEED)
    share = options.validation * len(dialogues) / len(rest)
    train, validation = shuffled(len(rest), share, seed=SPLIT_SEED + 1)
    rows = {"train": rest[train], "validation": rest[validation], "test": test}
    return {name: [dialogues[row] for row in of] for name, of in rows.items() if len(of)}


def _row(
    parts: Sequence[tuple[str, bool]], tokenizer: Tokenizer, context: int
) -> tuple[Int[np.ndarray, " tokens"], Bool[np.ndarray, " targets"]]:
    """The tokens of a dialogue, no more than a window and one, and which targets are learned."""
    ids = [tokenizer.encode(text) for text, _ in parts]
    learned = [np.full(len(of), answer) for of, (_, answer) in zip(ids, parts, strict=True)]
    return np.concatenate(ids)[: context + 1], np.concatenate(learned)[1 : context + 1]


def _question(messages: Messages) -> list[dict[str, str]]:
    """What comes before the last answer."""
    last = max(at for at, each in enumerate(messages) if each["role"] == ANSWERS)
    return [dict(each) for each in messages[:last]]


def _prepare(batch: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """The batch with a weight for each token."""
    weights = batch.pop("weights") * batch["weight"][:, None]
    return batch | {"weight": weights}
