"""The tokenizer of a run as the files that ``AutoTokenizer.from_pretrained`` reads."""

from __future__ import annotations

import json
from typing import Any

from bigmodel.data.dialogues.chat import CHAT
from bigmodel.data.texts.reading import TOKENIZER
from bigmodel.data.texts.shards.vocabularies import end_token
from bigmodel.experiment import Assets
from bigmodel.output import warn

SPECIAL = {
    "[CLS]": "cls_token",
    "[SEP]": "sep_token",
    "[MASK]": "mask_token",
    "[PAD]": "pad_token",
    "[UNK]": "unk_token",
    "<|endoftext|>": "eos_token",
}
"""What tokens are for, by their usual texts."""


def tokenizer_files(assets: Assets, context: int | None) -> dict[str, bytes]:
    """``tokenizer.json`` and its config, of the files of a run; none without a tokenizer."""
    if TOKENIZER not in assets:
        return {}
    saved = in_their_layout(json.loads(assets[TOKENIZER]))
    if saved is None:
        warn(
            "the tokenizer is left out, for there is none of words in lower case or bare ids there"
        )
        return {}
    config: dict[str, Any] = {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "clean_up_tokenization_spaces": False,
    }
    if context is not None:
        config["model_max_length"] = context
    for token in saved.get("added_tokens", ()):
        if token["content"] in SPECIAL:
            config[SPECIAL[token["content"]]] = token["content"]
    template, tokens = chat_of(assets)
    config |= tokens | ({"chat_template": template} if template else {})
    files = {TOKENIZER: saved, "tokenizer_config.json": config}
    return {name: json.dumps(value).encode() for name, value in files.items()}


def in_their_layout(saved: dict[str, Any]) -> dict[str, Any] | None:
    """What ``tokenizer.json`` says of a tokenizer that a run has saved; None where it cannot."""
    match saved.get("type"):
        case "char":
            return characters(saved["characters"])
        case "byte":
            return single_bytes()
        case "ended":
            made = in_their_layout(saved["of"])
            return made and {**made, "added_tokens": [end_token(len(made["model"]["vocab"]))]}
        case "word" | "ids":
            return None
    return saved


def chat_of(assets: Assets) -> tuple[str, dict[str, str]]:
    """The template of dialogues, and special tokens by name; empty for a run without dialogues."""
    chat = json.loads(assets.get(CHAT, b"{}"))
    return chat.get("template", ""), chat.get("tokens", {})


def end_of_text(assets: Assets) -> int | None:
    """The id of the token that ends a text, where the run knows one."""
    text = chat_of(assets)[1].get("eos_token")
    if text is None or TOKENIZER not in assets:
        return None
    saved = json.loads(assets[TOKENIZER])
    added = {token["content"]: token["id"] for token in saved.get("added_tokens", ())}
    found: int | None = added.get(text, saved.get("model", {}).get("vocab", {}).get(text))
    return found


def characters(known: str) -> dict[str, Any]:
    """A token for each character; others are an error."""
    return {
        "version": "1.0",
        "added_tokens": [],
        "pre_tokenizer": {
            "type": "Split",
            "pattern": {"Regex": r"[\s\S]"},
            "behavior": "Isolated",
            "invert": False,
        },
        "decoder": {"type": "Fuse"},
        "model": {
            "type": "WordLevel",
            "vocab": {character: index for index, character in enumerate(known)},
            "unk_token": "",
        },
    }


def single_bytes() -> dict[str, Any]:
    """A token for each of the 256 bytes."""
    return {
        "version": "1.0",
        "added_tokens": [],
        "decoder": {"type": "Sequence", "decoders": [{"type": "ByteFallback"}, {"type": "Fuse"}]},
        "model": {
            "type": "BPE",
            "byte_fallback": True,
            "vocab": {f"<0x{byte:02X}>": byte for byte in range(256)},
            "merges": [],
        },
    }
