"""GPT-2 (Radford et al., 2019)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from bigmodel.pretrained import layout, llama
from bigmodel.pretrained.config_file import choice, fixed, flag, number, whole
from bigmodel.pretrained.families import Beside, Config
from bigmodel.pretrained.layout import Arrays, Pair, Weights, norm

SPARE = r"\.attn\.(masked_)?bias$"
PREFIXES = ("transformer.",)
LINES = llama.LINES
LINEAR = {
    "attention/output": "attn.c_proj",
    "feed_forward/up": "mlp.c_fc",
    "feed_forward/down": "mlp.c_proj",
}
ACTIVATIONS = {
    "gelu_new": "gelu",
    "gelu_pytorch_tanh": "gelu",
    "gelu": "gelu_exact",
    "relu": "relu",
}
KNOWN = {
    "positions": "learned",
    "norm": "layer",
    "biases": True,
    "qkv_biases": False,
    "query_key_norm": False,
    "experts": 0,
    "window": None,
    "global_tokens": 0,
    "kv_heads": None,
    "head_size": None,
}
"""Options of a ``Gpt`` that the whole family has."""


def options(config: Config) -> dict[str, Any]:
    """The options of a ``Gpt``, whose blocks are one by one.

    The biases of the keys, which the softmax cancels, have no place in it.
    """
    fixed(config, {"scale_attn_weights": (True,), "scale_attn_by_inverse_layer_idx": (False,)})
    fixed(config, {"add_cross_attention": (False,)})
    width = whole(config, "n_embd")
    return {
        **KNOWN,
        "layers": whole(config, "n_layer"),
        "width": width,
        "heads": whole(config, "n_head"),
        "expansion": whole(config, "n_inner", 4 * width) / width,
        "activation": choice(config, "activation_function", ACTIVATIONS, "gelu_new"),
        "epsilon": number(config, "layer_norm_epsilon", 1e-5),
        "tied": flag(config, "tie_word_embeddings", True),
        "scan": False,
    }


def facts(config: Config, beside: Beside) -> dict[str, Any]:
    """``vocab_size`` and ``context``, and ``ends``: the ids of tokens that end a text."""
    sizes = {**config, "max_position_embeddings": whole(config, "n_positions")}
    return llama.facts(sizes, beside)


def to_ours(weights: Weights, config: Config) -> dict[str, np.ndarray]:
    """Variables by our paths."""
    found = options(config)
    width = found["width"]
    variables = layout.to_ours(_pairs(found), weights)
    for n in range(found["layers"]):
        kernels, biases = (weights[f"h.{n}.attn.c_attn.{name}"] for name in ("weight", "bias"))
        for at, part in enumerate(("query", "key", "value")):
            own = slice(at * width, (at + 1) * width)
            variables[f"params/blocks_{n}/attention/{part}/kernel"] = kernels[:, own]
            if part != "key":
                variables[f"params/blocks_{n}/attention/{part}/bias"] = biases[own]
    if found["tied"] and "lm_head.weight" in weights:
        weights["lm_head.weight"]  # the embedding once more
    return variables


def refused(options: Mapping[str, Any]) -> str:
    """What only other options of a ``Gpt`` have."""
    for name, known in KNOWN.items():
        if options[name] != known:
            return f"has --model.{name.replace('_', '-')} {known}, and this has {options[name]}"
    names = ", ".join(sorted(set(ACTIVATIONS.values())))
    fits = options["activation"] in ACTIVATIONS.values()
    return "" if fits else f"has --model.activation {names}, and this has {options['activation']}"


def to_theirs(
    variables: Arrays, options: Mapping[str, Any], facts: Mapping[str, Any]
) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
    """Their tensors and config; the biases of the keys are 0."""
    weights = layout.to_theirs(_pairs(options), variables)
    for n in range(options["layers"]):
        own = f"params/blocks_{n}/attention"
        parts = [variables[f"{own}/{part}/kernel"] for part in ("query", "key", "value")]
        weights[f"h.{n}.attn.c_attn.weight"] = np.concatenate(parts, axis=1)
        query, value = variables[f"{own}/query/bias"], variables[f"{own}/value/bias"]
        weights[f"h.{n}.attn.c_attn.bias"] = np.concatenate([query, 0 * query, value])
    spelled = {ours: theirs for theirs, ours in reversed(ACTIVATIONS.items())}
    config = {
        "model_type": "gpt2",
        "architectures": ["GPT2LMHeadModel"],
        "vocab_size": len(variables["params/embedding/embedding"]),
        "n_positions": len(variables["params/positions/embedding"]),
        "n_embd": options["width"],
        "n_layer": options["layers"],
        "n_head": options["heads"],
        "n_inner": round(options["expansion"] * options["width"]),
        "activation_function": spelled[options["activation"]],
        "layer_norm_epsilon": options["epsilon"],
        "tie_word_embeddings": options["tied"],
        "bos_token_id": None,
        "eos_token_id": list(facts.get("ends", ())) or None,
        "dtype": "float32",
    }
    head = {"lm_head.weight": weights.pop("lm_head.weight")} if not options["tied"] else {}
    return {f"transformer.{name}": tensor for name, tensor in weights.items()} | head, config


def _pairs(options: Mapping[str, Any]) -> Iterator[Pair]:
    """All but the joint projection to queries, keys and values. Kernels are not transposed."""
    yield Pair("params/embedding/embedding", "wte.weight")
    yield Pair("params/positions/embedding", "wpe.weight")
    yield from norm("params/norm", "ln_f", bias=True)
    if not options["tied"]:
        yield Pair("params/head/kernel", "lm_head.weight", layout.KERNEL)
    for n in range(options["layers"]):
        yield from norm(f"params/blocks_{n}/norm_attention", f"h.{n}.ln_1", bias=True)
        yield from norm(f"params/blocks_{n}/norm_feed_forward", f"h.{n}.ln_2", bias=True)
        for ours, theirs in LINEAR.items():
            yield Pair(f"params/blocks_{n}/{ours}/kernel", f"h.{n}.{theirs}.weight")
            yield Pair(f"params/blocks_{n}/{ours}/bias", f"h.{n}.{theirs}.bias")
