"""The Vision Transformer (Dosovitskiy et al., 2021)."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from bigmodel.experiment import InputError
from bigmodel.pretrained import labels, layout, pixels
from bigmodel.pretrained.config_file import choice, fixed, number, whole
from bigmodel.pretrained.families import Beside, Config
from bigmodel.pretrained.layout import Arrays, Pair, Weights, linear, norm

SPARE = r"attention\.(key|k_proj)\.bias$|pooler\.dense\.|mask_token$"
PREFIXES = ("vit.",)
LINES = pixels.LINES
BLOCK = {
    "attention/query": ("attention.attention.query", "attention.q_proj"),
    "attention/key": ("attention.attention.key", "attention.k_proj"),
    "attention/value": ("attention.attention.value", "attention.v_proj"),
    "attention/output": ("attention.output.dense", "attention.o_proj"),
    "feed_forward/up": ("intermediate.dense", "mlp.fc1"),
    "feed_forward/down": ("output.dense", "mlp.fc2"),
}
"""Layers of a block, by the names that files have, and by those that models got later."""
NORMS = {"norm_attention": "layernorm_before", "norm_feed_forward": "layernorm_after"}
PATCHES = "embeddings.patch_embeddings.projection"
TOKEN, POSITIONS = "embeddings.cls_token", "embeddings.position_embeddings"
ACTIVATIONS = {
    "gelu": "gelu_exact",
    "gelu_new": "gelu",
    "gelu_pytorch_tanh": "gelu",
    "relu": "relu",
}
KNOWN = {"pooling": "token", "biases": True, "window": None}
"""Options of a ``Vit`` that the whole family has."""


def options(config: Config) -> dict[str, Any]:
    """The options of a ``Vit``, whose blocks are one by one.

    The biases of the keys, which the softmax cancels, have no place in it.
    """
    fixed(config, {"qkv_bias": (True,)})
    width, hidden = whole(config, "hidden_size"), whole(config, "intermediate_size")
    if hidden % width:
        raise InputError(
            f"intermediate_size in config.json is {hidden}; it must be a multiple of hidden_size "
            f"{width} here"
        )
    return {
        **KNOWN,
        **pixels.options(config),
        "patch": whole(config, "patch_size", 16),
        "layers": whole(config, "num_hidden_layers"),
        "width": width,
        "heads": whole(config, "num_attention_heads"),
        "expansion": hidden // width,
        "activation": choice(config, "hidden_act", ACTIVATIONS, "gelu"),
        "epsilon": number(config, "layer_norm_eps", 1e-12),
        "scan": False,
    }


def facts(config: Config, beside: Beside) -> dict[str, Any]:
    """``labels``, and of the images ``channels`` and ``size``."""
    del beside
    return {"labels": labels.read(config), **pixels.facts(config)}


def to_ours(weights: Weights, config: Config) -> dict[str, np.ndarray]:
    """Variables by our paths; a model without a head has none."""
    variables = {
        pair.ours: layout.turned(weights[_spelled(pair.theirs, weights)], pair.axes)
        for pair in _pairs(options(config))
        if "params/head" not in pair.ours or "classifier.weight" in weights
    }
    kernel = layout.turned(weights[f"{PATCHES}.weight"], layout.CONVOLUTION)
    variables["params/embed/kernel"] = kernel.reshape(-1, kernel.shape[-1])
    variables["params/token"] = weights[TOKEN][0, 0]
    variables["params/position"] = weights[POSITIONS][0]
    return variables


def refused(options: Mapping[str, Any]) -> str:
    """What only other options of a ``Vit`` have."""
    for name, known in KNOWN.items():
        if options[name] != known:
            return f"has --model.{name} {known}, and this has {options[name]}"
    if options["activation"] not in ACTIVATIONS.values():
        names = ", ".join(sorted(set(ACTIVATIONS.values())))
        return f"has --model.activation {names}, and this has {options['activation']}"
    return ""


def to_theirs(
    variables: Arrays, options: Mapping[str, Any], facts: Mapping[str, Any]
) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
    """Their tensors and config; the biases of the keys are 0.

    Raises:
        InputError: the images are no squares.
    """
    width, patch = options["width"], options["patch"]
    side = math.isqrt(len(variables["params/position"]) - 1)
    if side**2 != len(variables["params/position"]) - 1:
        raise InputError("a ViT there reads squares; train on images that are as wide as high")
    kernel = variables["params/embed/kernel"].reshape(patch, patch, -1, width)
    weights = layout.to_theirs(_pairs(options), variables)
    weights[f"{PATCHES}.weight"] = kernel.transpose(np.argsort(layout.CONVOLUTION))
    weights[TOKEN] = variables["params/token"][None, None]
    weights[POSITIONS] = variables["params/position"][None]
    for n in range(options["layers"]):
        name = f"encoder.layer.{n}.{BLOCK['attention/key'][0]}.bias"
        weights[name] = np.zeros(width, np.float32)
    spelled = {ours: theirs for theirs, ours in reversed(ACTIVATIONS.items())}
    config = {
        "model_type": "vit",
        "architectures": ["ViTForImageClassification"],
        "hidden_size": width,
        "num_hidden_layers": options["layers"],
        "num_attention_heads": options["heads"],
        "intermediate_size": options["expansion"] * width,
        "hidden_act": spelled[options["activation"]],
        "hidden_dropout_prob": options["dropout"],
        "attention_probs_dropout_prob": 0.0,
        "layer_norm_eps": options["epsilon"],
        "image_size": side * patch,
        "patch_size": patch,
        "num_channels": kernel.shape[2],
        "qkv_bias": True,
        "dtype": "float32",
        **labels.written(facts, variables["params/head/kernel"].shape[1]),
        **pixels.written(options, side * patch),
    }
    named = {name if "classifier" in name else f"vit.{name}": of for name, of in weights.items()}
    return named, config


def _pairs(options: Mapping[str, Any]) -> Iterator[Pair]:
    """All but the kernel of the patches, the token, the positions and the biases of the keys."""
    yield Pair("params/embed/bias", f"{PATCHES}.bias")
    for n in range(options["layers"]):
        here, there = f"params/block_{n}", f"encoder.layer.{n}"
        for ours, (theirs, _) in BLOCK.items():
            yield from linear(f"{here}/{ours}", f"{there}.{theirs}", bias="key" not in ours)
        for ours, theirs in NORMS.items():
            yield from norm(f"{here}/{ours}", f"{there}.{theirs}", bias=True)
    yield from norm("params/norm", "layernorm", bias=True)
    yield from linear("params/head", "classifier", bias=True)


def _spelled(name: str, weights: Weights) -> str:
    """The name of a tensor in the file, which may be the later one."""
    if name in weights:
        return name
    for old, new in BLOCK.values():
        name = name.replace(f".{old}.", f".{new}.")
    return name.replace("encoder.layer.", "layers.")
