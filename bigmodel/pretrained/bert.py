"""BERT (Devlin et al., 2019) and encoders built like it, such as MiniLM (Wang et al., 2020)."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import numpy as np

from bigmodel.experiment import InputError
from bigmodel.pretrained import labels, layout
from bigmodel.pretrained.config_file import choice, fixed, number, whole
from bigmodel.pretrained.families import Beside, Config
from bigmodel.pretrained.layout import Arrays, Pair, Weights, linear, norm

SPARE = r"position_ids$|self\.key\.bias$|^cls\.seq_relationship\.|^cls\.predictions\.decoder\."
PREFIXES = ("bert.",)
LINES = """
import numpy, torch, transformers
given = numpy.load("sample_input.npz")
tokenizer = transformers.AutoTokenizer.from_pretrained(".")
first = numpy.full_like(given["tokens"][:, :1], tokenizer.cls_token_id)
tokens = torch.tensor(numpy.concatenate([first, given["tokens"]], axis=1), dtype=torch.long)
ends = (tokens == tokenizer.sep_token_id).long()
read = torch.arange(tokens.shape[1])[None] <= torch.tensor(given["length"])[:, None]
kind = transformers.AutoConfig.from_pretrained(".").architectures[0]
model = getattr(transformers, kind).from_pretrained(".", dtype=torch.float32)
types = (ends.cumsum(1) - ends).clamp(max=model.config.type_vocab_size - 1)
with torch.no_grad():
    logits = model(tokens, attention_mask=read.long(), token_type_ids=types)[0].numpy()
if kind in ("BertForMaskedLM", "BertForTokenClassification"):
    logits = numpy.take_along_axis(logits, given["chosen"][..., None] + 1, axis=1)
outputs = {"logits": logits}
"""
BLOCK = {
    "attention/query": "attention.self.query",
    "attention/value": "attention.self.value",
    "attention/output": "attention.output.dense",
    "feed_forward/up": "intermediate.dense",
    "feed_forward/down": "output.dense",
}
KEY = "attention.self.key"
NORMS = {"norm_attention": "attention.output.LayerNorm", "norm_feed_forward": "output.LayerNorm"}
EMBEDDINGS = {
    "embedding": "word_embeddings",
    "positions": "position_embeddings",
    "token_types": "token_type_embeddings",
}
HEADS: tuple[tuple[Pair, ...], ...] = (
    tuple(linear("params/pooler", "pooler.dense", bias=True)),
    tuple(linear("params/head", "classifier", bias=True)),
    (
        *linear("params/transform", "cls.predictions.transform.dense", bias=True),
        *norm("params/norm", "cls.predictions.transform.LayerNorm", bias=True),
        Pair("params/bias", "cls.predictions.bias"),
    ),
)
"""What may follow the encoder; each is there as a whole or not at all."""
ACTIVATIONS = {
    "gelu": "gelu_exact",
    "gelu_new": "gelu",
    "gelu_pytorch_tanh": "gelu",
}
KNOWN = {"norm": "post", "biases": True, "window": None}
"""Options of a ``Bert`` that the whole family has."""


def options(config: Config) -> dict[str, Any]:
    """The options of a ``Bert``, whose blocks are one by one.

    A classifier has the pooler; other models may use it by ``--model.pooler`` where it is there.
    The biases of the keys, which the softmax cancels, have no place in it.
    """
    fixed(config, {"position_embedding_type": ("absolute",), "is_decoder": (False,)})
    fixed(config, {"add_cross_attention": (False,), "tie_word_embeddings": (True,)})
    width, hidden = whole(config, "hidden_size"), whole(config, "intermediate_size")
    if hidden % width:
        raise InputError(
            f"intermediate_size in config.json is {hidden}; it must be a multiple of hidden_size "
            f"{width} here"
        )
    return {
        **KNOWN,
        "layers": whole(config, "num_hidden_layers"),
        "width": width,
        "heads": whole(config, "num_attention_heads"),
        "expansion": hidden // width,
        "activation": choice(config, "hidden_act", ACTIVATIONS, "gelu"),
        "epsilon": number(config, "layer_norm_eps", 1e-12),
        "token_types": whole(config, "type_vocab_size", 2),
        "pooler": _architecture(config) == "BertForSequenceClassification",
        "scan": False,
    }


def facts(config: Config, beside: Beside) -> dict[str, Any]:
    """``vocab_size``, ``context``, ``labels`` and how a text becomes one vector.

    That is ``pooling``, first or mean, and ``normalized``, whether its length is 1; and ``most``,
    the tokens of a text of which a vector was trained. The context and that are without the
    vector before a text.
    """
    context = whole(config, "max_position_embeddings", 512) - 1
    found: dict[str, Any] = {"vocab_size": whole(config, "vocab_size"), "context": context}
    if "Classification" in _architecture(config):
        found["labels"] = labels.read(config)
    pooled = beside("1_Pooling/config.json")
    first = _architecture(config) == "BertForSequenceClassification"
    first = pooled.get("pooling_mode_cls_token") is True if pooled else first
    if pooled and not first and pooled.get("pooling_mode_mean_tokens") is not True:
        raise InputError("1_Pooling/config.json pools neither the first token nor the mean")
    steps = beside("modules.json", list)
    kinds = [str(step.get("type")) for step in steps if isinstance(step, Mapping)]
    found["pooling"] = "first" if first else "mean"
    found["normalized"] = any(kind.endswith("Normalize") for kind in kinds)
    most = whole(beside("sentence_bert_config.json"), "max_seq_length", context + 1)
    found["most"] = min(most - 1, context)
    return found


def to_ours(weights: Weights, config: Config) -> dict[str, np.ndarray]:
    """Variables by our paths, with those of the heads that are there."""
    heads = [pairs for pairs in HEADS if pairs[-1].theirs in weights]
    return {
        pair.ours: layout.turned(weights[_spelled(pair.theirs, weights)], pair.axes)
        for pair in itertools.chain(_encoder(options(config)), *heads)
    }


def refused(options: Mapping[str, Any]) -> str:
    """What only other options of a ``Bert`` have."""
    for name, known in KNOWN.items():
        if options[name] != known:
            return f"has --model.{name} {known}, and this has {options[name]}"
    if options["activation"] not in ACTIVATIONS.values():
        return f"has --model.activation gelu or gelu_exact, and this has {options['activation']}"
    return ""


def to_theirs(
    variables: Arrays, options: Mapping[str, Any], facts: Mapping[str, Any]
) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
    """Their tensors and config; the biases of the keys are 0, as are types where there are none.

    Raises:
        InputError: a classifier pools what theirs does not, or there are no special tokens.
    """
    width = options["width"]
    if not facts.get("special", True):
        raise InputError(
            "a BERT reads [CLS], [SEP] and [MASK] of its vocabulary, and this tokenizer has none; "
            "begin with a folder whose tokenizer.json has them, by --init.from"
        )
    if not options["token_types"]:
        path = "params/encoder/token_types/embedding"
        variables = {**variables, path: np.zeros((1, width), np.float32)}
    heads = [pairs for pairs in HEADS if pairs[-1].ours in variables]
    architecture = _kind(variables, facts)
    weights = {
        f"bert.{name}": tensor
        for name, tensor in layout.to_theirs(
            _encoder({**options, "token_types": 1}), variables
        ).items()
    }
    for n in range(options["layers"]):
        weights[f"bert.encoder.layer.{n}.{KEY}.bias"] = np.zeros(width, np.float32)
    for pairs in heads:
        for name, tensor in layout.to_theirs(pairs, variables).items():
            weights[f"bert.{name}" if name.startswith("pooler") else name] = tensor
    spelled = {ours: theirs for theirs, ours in reversed(ACTIVATIONS.items())}
    config = {
        "model_type": "bert",
        "architectures": [architecture],
        "vocab_size": len(variables["params/encoder/embedding/embedding"]),
        "hidden_size": width,
        "num_hidden_layers": options["layers"],
        "num_attention_heads": options["heads"],
        "intermediate_size": options["expansion"] * width,
        "hidden_act": spelled[options["activation"]],
        "hidden_dropout_prob": options["dropout"],
        "attention_probs_dropout_prob": 0.0,
        "max_position_embeddings": len(variables["params/encoder/positions/embedding"]),
        "type_vocab_size": max(1, options["token_types"]),
        "layer_norm_eps": options["epsilon"],
        "dtype": "float32",
    }
    if "params/head/kernel" in variables:
        config |= labels.written(facts, variables["params/head/kernel"].shape[1])
    return weights, config


def _encoder(options: Mapping[str, Any]) -> Iterator[Pair]:
    """All of the encoder but the biases of the keys."""
    for ours, theirs in EMBEDDINGS.items():
        if ours != "token_types" or options["token_types"]:
            yield Pair(f"params/encoder/{ours}/embedding", f"embeddings.{theirs}.weight")
    yield from norm("params/encoder/norm_embedding", "embeddings.LayerNorm", bias=True)
    for n in range(options["layers"]):
        here, there = f"params/encoder/blocks_{n}", f"encoder.layer.{n}"
        yield from linear(f"{here}/attention/key", f"{there}.{KEY}", bias=False)
        for ours, theirs in BLOCK.items():
            yield from linear(f"{here}/{ours}", f"{there}.{theirs}", bias=True)
        for ours, theirs in NORMS.items():
            yield from norm(f"{here}/{ours}", f"{there}.{theirs}", bias=True)


def _spelled(name: str, weights: Weights) -> str:
    """The name of a tensor, which the first files wrote otherwise."""
    old = name.replace("LayerNorm.weight", "LayerNorm.gamma")
    old = old.replace("LayerNorm.bias", "LayerNorm.beta")
    return old if old in weights else name


def _architecture(config: Config) -> str:
    """The name of the model's class there, "" where the config does not say."""
    match config.get("architectures"):
        case [str() as name, *_]:
            return name
    return ""


def _kind(variables: Iterable[str], facts: Mapping[str, Any]) -> str:
    """The class there that these variables are one of."""
    heads = {path.split("/")[1] for path in variables}
    if "transform" in heads:
        return "BertForMaskedLM"
    if "head" not in heads:
        return "BertModel"
    if facts.get("architecture") == "BertForTokenClassification":
        return "BertForTokenClassification"
    if "pooler" not in heads or facts.get("pooling", "first") != "first":
        raise InputError(
            "a classifier of a BERT reads what its pooler makes of the first position; train with "
            "--model.pooler --pooling first"
        )
    return "BertForSequenceClassification"
