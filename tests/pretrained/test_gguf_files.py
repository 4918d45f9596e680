import dataclasses
import struct
import tracemalloc

import numpy as np
import pytest
from causal_cases import LLAMA, LONGER, variables

from bigmodel.config import from_json
from bigmodel.data.texts.tokenizers import bpe_tokenizer, load
from bigmodel.experiment import InputError
from bigmodel.models import Gpt
from bigmodel.pretrained import llama
from bigmodel.pretrained.formats.gguf import NAMES, Gguf
from bigmodel.pretrained.source import describe, read_foreign

gguf = pytest.importorskip("gguf")
OPTIONS = dataclasses.replace(LLAMA, width=64, expansion=2.0)
THEIRS = {there: here for here, there in NAMES.items()}
TEXT = "the cat sat on the mat, and 12 cats sat on 3 mats\n\n" * 3


def paired(rows, heads):
    """As the converter of llama.cpp has the rows of queries and keys."""
    split = rows.reshape(heads, 2, rows.shape[0] // heads // 2, *rows.shape[1:])
    return split.swapaxes(1, 2).reshape(rows.shape)


def write(path, options, values, *, kind="llama", block="F32", vocabulary=None, factors=None):
    """A file of a network, its larger tensors in blocks of a type."""
    weights, config = llama.to_theirs(values, dataclasses.asdict(options), {"context": 24})
    writer = gguf.GGUFWriter(path, kind)
    writer.add_block_count(options.layers)
    writer.add_context_length(config["max_position_embeddings"])
    writer.add_embedding_length(options.width)
    writer.add_feed_forward_length(config["intermediate_size"])
    writer.add_head_count(options.heads)
    writer.add_head_count_kv(config["num_key_value_heads"])
    writer.add_layer_norm_rms_eps(options.epsilon)
    writer.add_rope_freq_base(options.rotary.base)
    if vocabulary:
        tokens, merges = vocabulary
        writer.add_tokenizer_model("gpt2")
        writer.add_tokenizer_pre("smollm")
        writer.add_token_list(tokens)
        writer.add_token_types(
            [gguf.TokenType.CONTROL, *[gguf.TokenType.NORMAL] * (len(tokens) - 1)]
        )
        writer.add_token_merges(merges)
        writer.add_eos_token_id(0)
        writer.add_chat_template("{{ messages }}")
    if factors is not None:
        writer.add_tensor("rope_freqs.weight", factors)
    for name, tensor in weights.items():
        part, dot, last = name.removeprefix("model.").rpartition(".")
        block_name = ""
        if part.startswith("layers."):
            _, number, part = part.split(".", 2)
            block_name = f"blk.{number}."
        tensor = np.ascontiguousarray(tensor)
        if kind == "llama" and part.endswith(("q_proj", "k_proj")):
            tensor = paired(tensor, options.heads if "q_" in part else options.kv_heads)
        own = gguf.GGMLQuantizationType[block if tensor.ndim > 1 else "F32"]
        stored = gguf.quants.quantize(tensor, own)
        writer.add_tensor(f"{block_name}{THEIRS[part]}{dot}{last}", stored, raw_dtype=own)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


@pytest.mark.parametrize(
    ("kind", "block", "error"),
    [("llama", "F32", 0), ("llama", "Q8_0", 1e-2), ("qwen2", "BF16", 4e-3)],
)
def test_a_file_is_the_network_that_it_was_made_of(kind, block, error, tmp_path):
    options = dataclasses.replace(OPTIONS, qkv_biases=kind == "qwen2", tied=kind == "qwen2")
    given = variables(options)
    write(tmp_path / "x.gguf", options, given, kind=kind, block=block)
    source = read_foreign(tmp_path / "x.gguf")
    read = from_json(Gpt(), source.options)
    assert dataclasses.replace(read, epsilon=options.epsilon) == options
    assert read.epsilon == pytest.approx(options.epsilon)
    assert source.family == "llama"
    assert source.facts["context"] == 24
    assert source.variables.keys() == given.keys()
    for path, array in given.items():
        np.testing.assert_allclose(source.variables[path], array, atol=error * np.abs(array).max())


def test_the_factors_of_llama_3_are_its_scaling(tmp_path):
    half = OPTIONS.size // 2
    turns = 1e4 ** (-np.arange(half) / half) * 8192 / (2 * np.pi)
    kept = np.clip((turns - 1) / 3, 0, 1)
    factors = (1 / (kept + (1 - kept) / 8)).astype(np.float32)
    write(tmp_path / "x.gguf", OPTIONS, variables(OPTIONS), factors=factors)
    rotary = dataclasses.replace(LONGER, base=1e4, context=8192)
    assert from_json(Gpt(), describe(tmp_path / "x.gguf").options).rotary == rotary
    write(tmp_path / "y.gguf", OPTIONS, variables(OPTIONS), factors=factors**2)
    with pytest.raises(InputError, match="rotary factors that are not those of Llama 3"):
        describe(tmp_path / "y.gguf")


def test_its_tokenizer_splits_as_smollm_and_knows_what_ends_a_text(tmp_path):
    import json

    learned = json.loads(bpe_tokenizer(TEXT, vocab_size=300).dump())["model"]
    tokens = ["<|end|>", *learned["vocab"]]
    merges = [" ".join(merge) for merge in learned["merges"]]
    write(tmp_path / "x.gguf", OPTIONS, variables(OPTIONS), vocabulary=(tokens, merges))
    source = read_foreign(tmp_path / "x.gguf")
    facts = {
        "special_tokens": {"eos": "<|end|>"},
        "ends": (0,),
        "chat_template": "{{ messages }}",
    }
    assert facts.items() <= source.facts.items()
    tokenizer = load(source.tokenizer)
    ids = tokenizer.encode("the cat 12<|end|>")
    # Digits stand alone, and what ends a text is one token.
    assert [tokens[each] for each in ids[-3:]] == ["1", "2", "<|end|>"]
    assert tokenizer.decode(ids) == "the cat 12<|end|>"
    assert tokenizer.characters[ids].sum() == len("the cat 12<|end|>")
    assert tokenizer.vocab_size == len(tokens)


def header(*parts, version=3, tensors=0, pairs=0):
    return b"GGUF" + struct.pack("<IQQ", version, tensors, pairs) + b"".join(parts)


def text(value):
    return struct.pack("<Q", len(value)) + value


def tensor(name, shape, kind=0, start=0):
    return text(name) + struct.pack(f"<I{len(shape)}QIQ", len(shape), *shape, kind, start)


HOSTILE = {
    "short": b"GGUF",
    "version": header(version=1),
    "many pairs": header(pairs=2**64 - 1),
    "many tensors": header(tensors=2**63),
    "long name": header(struct.pack("<Q", 2**63), pairs=1),
    "long array": header(text(b"a"), struct.pack("<IIQ", 9, 4, 2**62), pairs=1),
    "long texts": header(text(b"a"), struct.pack("<IIQ", 9, 8, 2**62), pairs=1),
    "array of arrays": header(text(b"a"), struct.pack("<IIQ", 9, 9, 1), pairs=1),
    "unknown value": header(text(b"a"), struct.pack("<I", 77), pairs=1),
    "no axes": header(tensor(b"a", ()), tensors=1),
    "many axes": header(tensor(b"a", (1,) * 9), tensors=1),
    "huge": header(tensor(b"a", (2**40, 2**40)), tensors=1),
    "nothing": header(tensor(b"a", (0, 2)), tensors=1),
    "unknown type": header(tensor(b"a", (2,), kind=99), tensors=1),
    "part of a block": header(tensor(b"a", (33,), kind=8), tensors=1),
    "overlapping": header(tensor(b"a", (2,)), tensor(b"b", (2,)), tensors=2) + b"\0" * 64,
    "twice": header(tensor(b"a", (2,)), tensor(b"a", (2,), start=32), tensors=2) + b"\0" * 99,
    "no base": header(
        text(b"general.architecture") + struct.pack("<I", 8) + text(b"llama"),
        text(b"llama.rope.freq_base") + struct.pack("<I", 8) + text(b"x"),
        tensor(b"rope_freqs.weight", (2,)),
        tensors=1,
        pairs=2,
    )
    + b"\0" * 99,
    "alignment": header(text(b"general.alignment"), struct.pack("<II", 4, 0), pairs=1),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_a_damaged_or_hostile_file_is_a_line_and_no_memory(name, tmp_path):
    path = tmp_path / "x.gguf"
    path.write_bytes(HOSTILE[name])
    tracemalloc.start()
    with pytest.raises(InputError, match="is no whole GGUF file") as refused:
        read_foreign(path)
    assert tracemalloc.get_traced_memory()[1] < 5e6
    tracemalloc.stop()
    assert "\n" not in str(refused.value)


def test_metadata_of_other_kinds_say_nothing(tmp_path):
    metadata = {
        "tokenizer.ggml.model": "gpt2",
        "tokenizer.ggml.pre": ["smollm"],
        "tokenizer.ggml.tokens": 5,
        "tokenizer.ggml.eos_token_id": 3,
    }
    file = Gguf(tmp_path, metadata, {}, np.zeros(0))
    assert file.beside("tokenizer_config.json") == {"chat_template": None}
    assert file.tokenizer() is None


def test_a_file_that_ends_early_is_refused_wherever_it_ends(tmp_path):
    write(tmp_path / "x.gguf", OPTIONS, variables(OPTIONS))
    whole = (tmp_path / "x.gguf").read_bytes()
    for end in [*range(5, 1500, 37), len(whole) // 2, len(whole) - 100]:
        (tmp_path / "y.gguf").write_bytes(whole[:end])
        with pytest.raises(InputError, match="is no whole GGUF file"):
            read_foreign(tmp_path / "y.gguf")


def test_what_is_not_of_the_family_is_refused(tmp_path):
    name = text(b"general.architecture") + struct.pack("<I", 8) + text(b"rwkv")
    (tmp_path / "x.gguf").write_bytes(header(name, pairs=1) + b"\0" * 64)
    with pytest.raises(
        InputError, match="has a 'rwkv'; GGUF files of llama, qwen2, qwen3 are read"
    ):
        describe(tmp_path / "x.gguf")


def test_the_package_is_named_where_it_is_missing(tmp_path, monkeypatch):
    (tmp_path / "x.gguf").write_bytes(header())
    monkeypatch.setattr("importlib.util.find_spec", lambda _: None)
    with pytest.raises(InputError, match=r"needs the package gguf: pip install -e '\.\[gguf\]'"):
        describe(tmp_path / "x.gguf")
