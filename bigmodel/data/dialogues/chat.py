"""How a dialogue becomes a text, and which parts of the text are answers."""

from __future__ import annotations

import importlib.util
import json
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any, NamedTuple, TypeAlias

from bigmodel.data.texts.reading import text_of
from bigmodel.experiment import Assets, InputError

CHAT = "chat.json"
"""The file of a run that says how a dialogue becomes a text."""
ANSWERS = "assistant"
"""The role whose messages are learned."""
SENTINEL = "\u2060answer\u2060"
"""Stands for an answer, where what comes after one is looked for."""

Messages: TypeAlias = Sequence[Mapping[str, str]]
"""Of a dialogue, in order: the ``role`` of who says it, and the ``content``."""


class Chat(NamedTuple):
    """How a dialogue becomes a text: by a tokenizer's own template, or as ChatML without one.

    ``template`` is in Jinja's language, and reads ``tokens`` such as ``bos_token`` by name.
    """

    template: str = ""
    tokens: Mapping[str, str] = MappingProxyType({})

    def text(self, messages: Messages, *, asking: bool = False) -> str:
        """The text of messages; with ``asking``, what begins an answer comes after it.

        Raises:
            InputError: The template cannot be used, or not for these messages.
        """
        if not self.template:
            text = "".join(f"<|im_start|>{m['role']}\n{m['content']}<|im_end|>\n" for m in messages)
            return text + f"<|im_start|>{ANSWERS}\n" * asking
        if importlib.util.find_spec("jinja2") is None:
            raise InputError("a chat template needs the package jinja2: pip install -e '.[chat]'")
        # Imported here, for most texts are no dialogues.
        from bigmodel.data.dialogues.template import render

        given = {"messages": [dict(message) for message in messages]}
        asked = {"add_generation_prompt": asking, "tools": None, "documents": None}
        return render(self.template, {**self.tokens, **given, **asked})

    def turns(self, messages: Messages) -> list[tuple[str, bool]]:
        """The text up to the last answer in parts, and whether each is an answer with its end.

        Raises:
            InputError: As for :meth:`text`, or the template changes what stands before an answer.
        """
        parts: list[tuple[str, bool]] = []
        done = ""
        for index, message in enumerate(messages, start=1):
            if message["role"] == ANSWERS:
                before, after = (
                    self.text(messages[: index - 1], asking=True),
                    self.text(messages[:index]),
                )
                if not (before.startswith(done) and after.startswith(before)):
                    raise InputError(
                        "its chat template does not put an answer behind what asks for it, so that "
                        "nobody can say where the answer begins"
                    )
                parts += [(before[len(done) :], False), (after[len(before) :], True)]
                done = after
        return parts

    def asked(self, each: Any) -> str:
        """The text of a question: of a text, of messages, or of a dialogue in JSON.

        Raises:
            InputError: It is none of these, or as for :meth:`text`.
        """
        if isinstance(each, str) and each.lstrip().startswith('{"messages"'):
            each = parsed(each)
        if isinstance(each, str):
            each = [{"role": "user", "content": each}]
        return self.text(checked(each), asking=True)

    @property
    def end(self) -> str:
        """The text that ends an answer, without blanks around it; empty where nothing does."""
        asked = ({"role": "user", "content": "?"}, {"role": ANSWERS, "content": SENTINEL})
        return self.text(asked).rpartition(SENTINEL)[2].strip()

    @property
    def facts(self) -> dict[str, Any]:
        """What :func:`chat_of` reads."""
        tokens = {name.removesuffix("_token"): text for name, text in self.tokens.items()}
        return {"chat_template": self.template, "special_tokens": tokens}

    def dump(self) -> dict[str, bytes]:
        """The file of a run from which :func:`read_chat` makes this."""
        kept = {"template": self.template, "tokens": dict(self.tokens)}
        return {CHAT: json.dumps(kept, ensure_ascii=False).encode()}


def chat_of(facts: Mapping[str, Any]) -> Chat:
    """How the dialogues of a model become texts, by the facts of its ``Source``."""
    tokens = facts.get("special_tokens", {}).items()
    return Chat(facts.get("chat_template", ""), {f"{name}_token": text for name, text in tokens})


def read_chat(assets: Assets) -> Chat | None:
    """How a run makes a text of a dialogue; None where it was trained on none."""
    return Chat(**json.loads(assets[CHAT])) if CHAT in assets else None


def parsed(line: str) -> Any:
    """The messages of a line ``{"messages": [...]}``.

    Raises:
        InputError: It is no such line.
    """
    try:
        found = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise InputError(f"it is no JSON: {error}") from None
    if not isinstance(found, dict) or "messages" not in found:
        raise InputError('it is no dialogue: write {"messages": [{"role": ..., "content": ...}]}')
    return found["messages"]


def checked(messages: Any) -> Messages:
    """The messages, each with its role and its text alone.

    Raises:
        InputError: They are none.
    """
    if not isinstance(messages, list) or not messages:
        raise InputError(f"it is no list of messages: {repr(messages)[:40]}")
    for each in messages:
        if not isinstance(each, dict) or not {"role", "content"} <= set(each):
            raise InputError(f"it has a message without role and content: {repr(each)[:40]}")
    return [{name: text_of(each[name]) for name in ("role", "content")} for each in messages]
