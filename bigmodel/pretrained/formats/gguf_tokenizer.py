"""The tokenizer in a GGUF file's metadata as a ``tokenizer.json``."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

BPE = "gpt2"
CONTROL, OWN = 3, 4
"""Types of tokens that are found in a text before it is split: ``<|im_start|>``."""
WORDS = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|NUMBER| ?[^\s\p{L}\p{N}]+[\r\n]*"
    r"|\s*[\r\n]+|\s+(?!\S)|\s+"
)


def _by_words(number: str) -> dict[str, Any]:
    pattern = {"Regex": WORDS.replace("NUMBER", number)}
    split = {"type": "Split", "pattern": pattern, "behavior": "Isolated", "invert": False}
    return {"type": "Sequence", "pretokenizers": [split, _bytes(by_regex=False)]}


def _bytes(*, by_regex: bool) -> dict[str, Any]:
    return {
        "type": "ByteLevel",
        "add_prefix_space": False,
        "trim_offsets": True,
        "use_regex": by_regex,
    }


DIGITS = {"type": "Digits", "individual_digits": True}
SPLITS: Mapping[str, dict[str, Any]] = {
    "gpt-2": _bytes(by_regex=True),
    "smollm": {"type": "Sequence", "pretokenizers": [DIGITS, _bytes(by_regex=True)]},
    "llama-bpe": _by_words(r"\p{N}{1,3}"),
    "qwen2": _by_words(r"\p{N}"),
}
"""How texts are split before merges, by its name in ``tokenizer.ggml.pre``."""


def tokenizer_json(metadata: Mapping[str, Any]) -> bytes | None:
    """The content of a ``tokenizer.json``; None for what is no byte-level BPE of a known kind."""
    tokens, merges, kinds, split = (
        metadata.get(f"tokenizer.ggml.{name}") for name in ("tokens", "merges", "token_type", "pre")
    )
    known = metadata.get("tokenizer.ggml.model") == BPE and str(split) in SPLITS
    if not (known and isinstance(tokens, list) and isinstance(merges, list)):
        return None
    kinds = kinds if isinstance(kinds, list) else []
    added = [
        {
            "id": index,
            "content": token,
            "single_word": False,
            "lstrip": False,
            "rstrip": False,
            "normalized": False,
            "special": kind == CONTROL,
        }
        for index, (token, kind) in enumerate(zip(tokens, kinds, strict=False))
        if kind in (CONTROL, OWN)
    ]
    model = {
        "type": "BPE",
        "ignore_merges": split == "llama-bpe",
        "vocab": {token: index for index, token in enumerate(tokens)},
        "merges": merges,
    }
    saved = {
        "version": "1.0",
        "added_tokens": added,
        "normalizer": {"type": "NFC"} if split == "qwen2" else None,
        "pre_tokenizer": SPLITS[str(split)],
        "decoder": _bytes(by_regex=True),
        "model": model,
    }
    return json.dumps(saved).encode()
