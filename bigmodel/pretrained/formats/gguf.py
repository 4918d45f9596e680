"""GGUF files of Llama and its kin as folders in Hugging Face's layout.

A file is a header, metadata by name, what tensors there are, and their bytes, most of them in
blocks of quantised numbers. Reading one executes nothing, and allocates nothing for what it claims.
See https://github.com/ggml-org/ggml/blob/master/docs/gguf.md.
"""

from __future__ import annotations

import importlib.util
import math
import struct
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from bigmodel.errors import naming
from bigmodel.experiment import InputError
from bigmodel.pretrained.formats.gguf_tokenizer import tokenizer_json
from bigmodel.pretrained.formats.safetensors import Tensors

MAGIC = b"GGUF"
NUMBERS = dict(enumerate("BbHhIif?")) | {10: "Q", 11: "q", 12: "d"}
"""The letter, of the module ``struct``, of each type of a number in the metadata."""
TEXT, ARRAY = 8, 9
FAMILIES = ("llama", "qwen2", "qwen3")
SPECIAL = {"bos": "bos", "eos": "eos", "unknown": "unk", "padding": "pad"}
NAMES = {
    "token_embd": "embed_tokens",
    "output_norm": "norm",
    "output": "lm_head",
    "attn_norm": "input_layernorm",
    "ffn_norm": "post_attention_layernorm",
    "attn_q": "self_attn.q_proj",
    "attn_k": "self_attn.k_proj",
    "attn_v": "self_attn.v_proj",
    "attn_output": "self_attn.o_proj",
    "attn_q_norm": "self_attn.q_norm",
    "attn_k_norm": "self_attn.k_norm",
    "ffn_gate": "mlp.gate_proj",
    "ffn_up": "mlp.up_proj",
    "ffn_down": "mlp.down_proj",
}
"""What a tensor's name there begins with, after the block's, in Hugging Face's layout."""
SIZES = {
    "num_hidden_layers": "block_count",
    "hidden_size": "embedding_length",
    "intermediate_size": "feed_forward_length",
    "num_attention_heads": "attention.head_count",
    "num_key_value_heads": "attention.head_count_kv",
    "head_dim": "attention.key_length",
    "rms_norm_eps": "attention.layer_norm_rms_epsilon",
    "rope_theta": "rope.freq_base",
    "max_position_embeddings": "context_length",
}
FACTORS = "rope_freqs.weight"
"""Tensor with the factors by which llama3's scaling divides the rotary frequencies."""


class Stored(NamedTuple):
    """A tensor in the file: its type, shape, and place among the bytes of all."""

    kind: int
    shape: tuple[int, ...]
    start: int
    size: int


class Gguf(NamedTuple):
    """What a file says: metadata by name, tensors, and the bytes of all tensors."""

    path: Path
    metadata: Mapping[str, Any]
    stored: Mapping[str, Stored]
    body: np.ndarray

    def tensor(self, name: str) -> np.ndarray:
        """A tensor, out of its blocks: a view where it is float32 or float16."""
        from gguf import GGMLQuantizationType, quants

        kind, shape, start, size = self.stored[name]
        rows = self.body[start : start + size].reshape(*shape[:-1], -1)
        try:
            return quants.dequantize(rows, GGMLQuantizationType(kind)).reshape(shape)
        except NotImplementedError as error:
            raise _damaged(self.path, f"{name}: {error}") from None

    def config(self) -> dict[str, Any]:
        """The ``config.json`` of such a network; raises InputError for one that is not read."""
        name = self.metadata.get("general.architecture")
        if name not in FAMILIES:
            known = ", ".join(FAMILIES)
            raise InputError(
                f"{self.path} has a {str(name)[:40]!r}; GGUF files of {known} are read"
            )
        if self.metadata.get(f"{name}.expert_count"):
            raise InputError(f"{self.path} has a mixture of experts, which is not read")
        config = {ours: self.metadata.get(f"{name}.{theirs}") for ours, theirs in SIZES.items()}
        vocabulary = self.stored.get("token_embd.weight")
        scaling = self.metadata.get(f"{name}.rope.scaling.type", "none")
        return config | {
            "model_type": name,
            "architectures": [f"{name.capitalize()}ForCausalLM"],
            "vocab_size": vocabulary and vocabulary.shape[0],
            "tie_word_embeddings": "output.weight" not in self.stored,
            "attention_bias": name == "llama" and "blk.0.attn_q.bias" in self.stored,
            "eos_token_id": self.metadata.get("tokenizer.ggml.eos_token_id"),
            "rope_scaling": self._factors()
            if FACTORS in self.stored
            else {
                "rope_type": "default" if scaling == "none" else scaling,
                "factor": self.metadata.get(f"{name}.rope.scaling.factor"),
            },
        }

    def _factors(self) -> dict[str, Any]:
        """Llama 3's scaling, whose other numbers are always the same, from its factors.

        Raises:
            InputError: they are others.
        """
        factors = self.tensor(FACTORS).ravel()
        base = self.metadata.get("llama.rope.freq_base", 10_000.0)
        if not isinstance(base, int | float):
            raise _damaged(self.path, f"llama.rope.freq_base is {base}")
        factor = float(factors.max())
        with np.errstate(all="ignore"):  # What is no number is not close.
            turns = base ** (-np.arange(len(factors)) / len(factors)) * 8192 / (2 * math.pi)
            kept = np.clip((turns - 1) / 3, 0, 1)
            known = 1 / (kept + (1 - kept) / np.float64(factor))
        if not np.allclose(factors, known, rtol=1e-4):
            raise InputError(f"{self.path} has rotary factors that are not those of Llama 3")
        return {
            "rope_type": "llama3",
            "factor": factor,
            "low_freq_factor": 1.0,
            "high_freq_factor": 4.0,
            "original_max_position_embeddings": 8192,
        }

    def tensors(self) -> Tensors:
        """All tensors by Hugging Face's names, whose rotary positions pair other rows."""
        name, found = self.metadata["general.architecture"], {}
        heads = self.metadata[f"{name}.attention.head_count"]
        shared = self.metadata.get(f"{name}.attention.head_count_kv", heads)
        for stored in self.stored:
            if stored == FACTORS:
                continue
            block, _, rest = stored.partition(".")[2].partition(".")
            block, rest = (block, rest) if stored.startswith("blk.") else ("", stored)
            part, _, kind = rest.rpartition(".")
            tensor = self.tensor(stored)
            if name == "llama" and part in ("attn_q", "attn_k"):
                count = shared if part == "attn_k" else heads
                if len(tensor) % (2 * count):
                    raise _damaged(self.path, f"{stored} has {len(tensor)} rows for {count} heads")
                tensor = unpaired(tensor, count)
            there = NAMES.get(part, part)
            found[f"layers.{block}.{there}.{kind}" if block else f"{there}.{kind}"] = tensor
        return Tensors(found, (self.path,))

    def beside(self, file: str, kind: type = dict) -> Any:
        """What would stand in ``tokenizer_config.json``; there are no other files."""
        if file != "tokenizer_config.json":
            return kind()
        tokens = self.metadata.get("tokenizer.ggml.tokens")
        tokens = tokens if isinstance(tokens, list) else []
        found = {"chat_template": self.metadata.get("tokenizer.chat_template")}
        for theirs, ours in SPECIAL.items():
            at = self.metadata.get(f"tokenizer.ggml.{theirs}_token_id")
            if isinstance(at, int) and 0 <= at < len(tokens):
                found[f"{ours}_token"] = tokens[at]
        return found

    def tokenizer(self) -> bytes | None:
        """The ``tokenizer.json``; None for what is no byte-level BPE of a known kind."""
        return tokenizer_json(self.metadata)


def unpaired(rows: np.ndarray, heads: int) -> np.ndarray:
    """The rows of queries or keys whose pairs stand half a head apart, and no longer together."""
    split = rows.reshape(heads, rows.shape[0] // heads // 2, 2, *rows.shape[1:])
    return split.swapaxes(1, 2).reshape(rows.shape)


def is_gguf(path: Path) -> bool:
    """Whether a file begins as one of this format."""
    if not path.is_file():
        return False
    with naming(path, "read"), path.open("rb") as file:
        return file.read(len(MAGIC)) == MAGIC


def read_gguf(path: Path) -> Gguf:
    """What a file says, and its tensors as they are stored.

    Raises:
        InputError: it is truncated or damaged, or the package ``gguf`` is missing.
        StorageError: it cannot be read.
    """
    if importlib.util.find_spec("gguf") is None:
        raise InputError(f"{path} needs the package gguf: pip install -e '.[gguf]'")
    from gguf import GGML_QUANT_SIZES

    sizes = {kind.value: size for kind, size in GGML_QUANT_SIZES.items()}
    with naming(path, "read"):
        mapped = np.asarray(np.memmap(path, np.uint8, "r"))
    read = _Reader(path, mapped)
    version, tensors, pairs = read.numbers("<IQQ")
    if version not in (2, 3):
        raise _damaged(path, f"version {version}, and 2 and 3 are read")
    metadata = {}
    for _ in range(read.count(pairs, of=12)):
        name = read.text()
        metadata[name] = read.value(*read.numbers("<I"))
    described = [_described(read, sizes) for _ in range(read.count(tensors, of=24))]
    alignment = metadata.get("general.alignment", 32)
    if type(alignment) is not int or alignment < 1:
        raise _damaged(path, f"an alignment of {alignment}")
    body = mapped[-(-read.at // alignment) * alignment :]
    end = 0
    for name, stored in sorted(described, key=lambda each: each[1].start):
        if not end <= stored.start <= stored.start + stored.size <= len(body):
            raise _damaged(path, f"{name} is at {stored.start} of {len(body)} bytes, over others")
        end = stored.start + stored.size
    if len(dict(described)) < len(described):
        raise _damaged(path, "a tensor twice")
    return Gguf(path, metadata, dict(described), body)


def _described(read: _Reader, sizes: Mapping[int, tuple[int, int]]) -> tuple[str, Stored]:
    """A tensor's name and place, of whose type ``sizes`` has the numbers and bytes of a block."""
    name = read.text()
    (axes,) = read.numbers("<I")
    if not 1 <= axes <= 4:
        raise _damaged(read.path, f"{name} has {axes} axes")
    shape = read.numbers(f"<{axes}Q")[::-1]
    kind, start = read.numbers("<IQ")
    block, size = sizes.get(kind, (0, 0))
    if not block or 0 in shape or shape[-1] % block:
        raise _damaged(read.path, f"{name} has the type {kind} and the shape {list(shape)}")
    return name, Stored(kind, shape, start, math.prod(shape) // block * size)


class _Reader:
    """Reads a header on from ``at``; raises InputError where the file ends before."""

    def __init__(self, path: Path, mapped: np.ndarray) -> None:
        self.path, self.mapped, self.at = path, mapped, len(MAGIC)

    def take(self, count: int) -> bytes:
        if count > len(self.mapped) - self.at:
            raise _damaged(self.path, f"it ends within its header, at {self.at} bytes")
        self.at += count
        return self.mapped[self.at - count : self.at].tobytes()

    def count(self, claimed: int, *, of: int) -> int:
        """A number of things of so many bytes at least, for which there is room."""
        if claimed > (len(self.mapped) - self.at) // of:
            raise _damaged(self.path, f"its header claims {claimed} entries")
        return claimed

    def numbers(self, form: str) -> tuple[Any, ...]:
        return struct.unpack(form, self.take(struct.calcsize(form)))

    def text(self) -> str:
        return self.take(*self.numbers("<Q")).decode("utf-8", "replace")

    def value(self, kind: int) -> Any:
        if kind in NUMBERS:
            return self.numbers(f"<{NUMBERS[kind]}")[0]
        if kind == TEXT:
            return self.text()
        if kind != ARRAY:
            raise _damaged(self.path, f"a value of the type {kind}")
        inner, claimed = self.numbers("<IQ")
        if inner == TEXT:
            return [self.text() for _ in range(self.count(claimed, of=8))]
        if inner not in NUMBERS:
            raise _damaged(self.path, f"an array of the type {inner}")
        size = struct.calcsize(f"<{NUMBERS[inner]}")
        return list(self.numbers(f"<{self.count(claimed, of=size)}{NUMBERS[inner]}"))


def _damaged(path: Path, what: str) -> InputError:
    return InputError(f"{path} is no whole GGUF file: {what[:200]}; fetch or write it again")
