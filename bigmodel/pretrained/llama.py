"""Llama (Touvron et al., 2023) and its kin: SmolLM2, Mistral, Qwen 2 and 3."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from bigmodel.experiment import InputError
from bigmodel.pretrained import layout
from bigmodel.pretrained.config_file import choice, fixed, flag, inner, number, whole
from bigmodel.pretrained.families import Beside, Config
from bigmodel.pretrained.layout import KERNEL, Arrays, Pair, Weights, norm, turned

SPARE = r"rotary_emb\.inv_freq$"
PREFIXES = ("model.",)
LINES = """
import numpy, torch
from transformers import AutoModelForCausalLM
model = AutoModelForCausalLM.from_pretrained(".", dtype=torch.float32)
tokens = torch.tensor(numpy.load("sample_input.npz")["tokens"], dtype=torch.long)
with torch.no_grad():
    outputs = {"logits": model(tokens).logits.numpy()}
"""
ATTENTION = {"query": "q_proj", "key": "k_proj", "value": "v_proj", "output": "o_proj"}
NETWORK = {"gate": "gate_proj", "up": "up_proj", "down": "down_proj"}
SCALINGS = {"default": "none", "linear": "linear", "llama3": "llama3"}
KNOWN = {
    "positions": "rotary",
    "norm": "rms",
    "activation": "swiglu",
    "experts": 0,
    "global_tokens": 0,
}
"""Options of a ``Gpt`` that all of the family have."""


def options(config: Config) -> dict[str, Any]:
    """The options of a ``Gpt``, whose blocks are one by one."""
    fixed(config, {"hidden_act": ("silu",), "partial_rotary_factor": (1,)})
    kind = config["model_type"]
    width, heads = whole(config, "hidden_size"), whole(config, "num_attention_heads")
    size = whole(config, "head_dim", max(1, width // heads))
    shared = whole(config, "num_key_value_heads", heads)
    layers = config.get("layer_types")
    if isinstance(layers, list) and len({str(each) for each in layers}) > 1:
        raise InputError("blocks of several layer_types cannot be read")
    sliding = config.get("use_sliding_window") is True or kind == "mistral"
    window = config.get("sliding_window") if sliding else None
    biases = flag(config, "attention_bias", False) or flag(config, "mlp_bias", False)
    return {
        **KNOWN,
        "layers": whole(config, "num_hidden_layers"),
        "width": width,
        "heads": heads,
        "kv_heads": None if shared == heads else shared,
        "head_size": None if size * heads == width else size,
        "expansion": whole(config, "intermediate_size") / width,
        "window": None if window is None else whole(config, "sliding_window"),
        "epsilon": number(config, "rms_norm_eps", 1e-6),
        "rotary": _rotary(config),
        "biases": biases,
        "qkv_biases": kind == "qwen2" or flag(config, "attention_bias", False),
        "query_key_norm": kind == "qwen3",
        "tied": flag(config, "tie_word_embeddings", False),
        "scan": False,
    }


def _rotary(config: Config) -> dict[str, Any]:
    """The rotary positions, in the newer or the older spelling."""
    given = inner(config, "rope_parameters") or inner(config, "rope_scaling")
    kind = {"rope_type": given.get("rope_type", given.get("type"))}
    scaling = choice(kind, "rope_type", SCALINGS, "default")
    base = number(given, "rope_theta", number(config, "rope_theta", 10_000.0))
    found: dict[str, Any] = {"base": base, "scaling": scaling}
    if scaling != "none":
        found["factor"] = number(given, "factor")
    if scaling == "llama3":
        found["low"] = number(given, "low_freq_factor")
        found["high"] = number(given, "high_freq_factor")
        found["context"] = whole(given, "original_max_position_embeddings")
    return found


def facts(config: Config, beside: Beside) -> dict[str, Any]:
    """``vocab_size`` and ``context``, and ``ends``: the ids of tokens that end a text."""
    del beside
    ends = config.get("eos_token_id")
    ends = ends if isinstance(ends, list) else [ends]
    size = whole(config, "vocab_size")
    return {
        "vocab_size": size,
        "context": whole(config, "max_position_embeddings", 2048),
        "ends": tuple(each for each in ends if type(each) is int and 0 <= each < size),
    }


def to_ours(weights: Weights, config: Config) -> dict[str, np.ndarray]:
    """Variables by our paths; biases that only our layout has are 0."""
    found = options(config)
    variables = layout.to_ours(_pairs(found), weights)
    for ours, theirs, bias in _linears(found):
        kernel = turned(weights[f"{theirs}.weight"], KERNEL)
        variables[f"{ours}/kernel"] = kernel
        if bias and _is_biased(theirs, config):
            variables[f"{ours}/bias"] = weights[f"{theirs}.bias"]
        elif bias:
            variables[f"{ours}/bias"] = np.zeros(kernel.shape[-1], kernel.dtype)
    if found["tied"] and "lm_head.weight" in weights:
        weights["lm_head.weight"]  # the embedding once more
    return variables


def refused(options: Mapping[str, Any]) -> str:
    """What only other options of a ``Gpt`` have."""
    for name, known in KNOWN.items():
        if options[name] != known:
            return f"has --model.{name.replace('_', '-')} {known}, and this has {options[name]}"
    several = [name for name in ("window", "biases", "query_key_norm") if options[name]]
    if len(several) > 1 or (options["qkv_biases"] and several not in ([], ["biases"])):
        names = [*several, *(["qkv_biases"] if options["qkv_biases"] else [])]
        return f"has no {' with '.join(names)}"
    return ""


def to_theirs(
    variables: Arrays, options: Mapping[str, Any], facts: Mapping[str, Any]
) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
    """Their tensors and config; biases that only their layout has are 0."""
    config = _config(options) | {
        "vocab_size": len(variables["params/embedding/embedding"]),
        "max_position_embeddings": facts["context"],
        "bos_token_id": None,
        "eos_token_id": list(facts.get("ends", ())) or None,
    }
    weights = layout.to_theirs(_pairs(options), variables)
    for ours, theirs, bias in _linears(options):
        kernel = variables[f"{ours}/kernel"]
        weights[f"{theirs}.weight"] = turned(kernel, KERNEL)
        if _is_biased(theirs, config):
            zeros = np.zeros(kernel.shape[-1], kernel.dtype)
            weights[f"{theirs}.bias"] = variables[f"{ours}/bias"] if bias else zeros
    head = {"lm_head.weight": weights.pop("lm_head.weight")} if not options["tied"] else {}
    return {f"model.{name}": tensor for name, tensor in weights.items()} | head, config


def _config(options: Mapping[str, Any]) -> dict[str, Any]:
    if options["query_key_norm"]:
        kind, name = "qwen3", "Qwen3ForCausalLM"
    elif options["window"]:
        kind, name = "mistral", "MistralForCausalLM"
    elif options["qkv_biases"] and not options["biases"]:
        kind, name = "qwen2", "Qwen2ForCausalLM"
    else:
        kind, name = "llama", "LlamaForCausalLM"
    rotary = options["rotary"]
    spelled = {there: here for here, there in SCALINGS.items()}
    scaling: dict[str, Any] = {"rope_type": spelled[rotary["scaling"]]}
    if rotary["scaling"] != "none":
        scaling["factor"] = rotary["factor"]
    if rotary["scaling"] == "llama3":
        scaling["low_freq_factor"], scaling["high_freq_factor"] = rotary["low"], rotary["high"]
        scaling["original_max_position_embeddings"] = rotary["context"]
    width, heads = options["width"], options["heads"]
    return {
        "model_type": kind,
        "architectures": [name],
        "hidden_size": width,
        "intermediate_size": round(options["expansion"] * width),
        "num_hidden_layers": options["layers"],
        "num_attention_heads": heads,
        "num_key_value_heads": options["kv_heads"] or heads,
        "head_dim": options["head_size"] or width // heads,
        "hidden_act": "silu",
        "rms_norm_eps": options["epsilon"],
        # Older readers know these two, newer ones the third.
        "rope_theta": rotary["base"],
        "rope_scaling": scaling if rotary["scaling"] != "none" else None,
        "rope_parameters": {"rope_theta": rotary["base"], **scaling},
        "attention_bias": options["biases"],
        "mlp_bias": options["biases"],
        "sliding_window": options["window"],
        "tie_word_embeddings": options["tied"],
        "dtype": "float32",
    }


def _is_biased(theirs: str, config: Config) -> bool:
    """Whether a linear layer of theirs has a bias."""
    if ".mlp." in theirs:
        return flag(config, "mlp_bias", False) and config["model_type"] == "llama"
    if config["model_type"] == "qwen2":
        return not theirs.endswith("o_proj")
    return flag(config, "attention_bias", False) and config["model_type"] != "mistral"


def _linears(options: Mapping[str, Any]) -> Iterator[tuple[str, str, bool]]:
    """Our path, their name, and whether ours has a bias, of the linear layers of all blocks."""
    biases, qkv = options["biases"], options["qkv_biases"]
    for n in range(options["layers"]):
        for ours, theirs in ATTENTION.items():
            bias = {"output": biases, "key": qkv}.get(ours, biases or qkv)
            yield f"params/blocks_{n}/attention/{ours}", f"layers.{n}.self_attn.{theirs}", bias
        for ours, theirs in NETWORK.items():
            yield f"params/blocks_{n}/feed_forward/{ours}", f"layers.{n}.mlp.{theirs}", biases


def _pairs(options: Mapping[str, Any]) -> Iterator[Pair]:
    """All but the linear layers of the blocks."""
    yield Pair("params/embedding/embedding", "embed_tokens.weight")
    yield from norm("params/norm", "norm", bias=False)
    if not options["tied"]:
        yield Pair("params/head/kernel", "lm_head.weight", KERNEL)
    for n in range(options["layers"]):
        ours, theirs = f"params/blocks_{n}", f"layers.{n}"
        yield from norm(f"{ours}/norm_attention", f"{theirs}.input_layernorm", bias=False)
        after = f"{theirs}.post_attention_layernorm"
        yield from norm(f"{ours}/norm_feed_forward", after, bias=False)
        if options["query_key_norm"]:
            for part, name in (("query", "q_norm"), ("key", "k_norm")):
                own = f"{ours}/attention/norm_{part}"
                yield from norm(own, f"{theirs}.self_attn.{name}", bias=False)
