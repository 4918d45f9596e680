"""Residual networks (He et al., 2016) for images of ImageNet, with the stride in the 3x3."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

import numpy as np

from bigmodel.experiment import InputError
from bigmodel.pretrained import labels, layout, pixels
from bigmodel.pretrained.config_file import fixed, whole
from bigmodel.pretrained.families import Beside, Config
from bigmodel.pretrained.layout import CONVOLUTION, Arrays, Pair, Weights, linear

SPARE = r"num_batches_tracked$"
PREFIXES = ("resnet.",)
LINES = pixels.LINES


class Plan(NamedTuple):
    """The blocks of each stage, and how many convolutions a block has."""

    blocks: tuple[int, ...]
    convolutions: int


PLANS = {
    18: Plan((2, 2, 2, 2), 2),
    34: Plan((3, 4, 6, 3), 2),
    50: Plan((3, 4, 6, 3), 3),
    101: Plan((3, 4, 23, 3), 3),
    152: Plan((3, 8, 36, 3), 3),
}
"""By depth; ``bigmodel.models.images.resnet`` has the same."""
KINDS = {"basic": 2, "bottleneck": 3}
KNOWN = {"padding": "symmetric", "activation": "relu"}
"""Options of a ``ResNet`` that the whole family has."""


def options(config: Config) -> dict[str, Any]:
    """The options of a ``ResNet``."""
    fixed(config, {"hidden_act": ("relu",), "layer_type": tuple(KINDS)})
    fixed(config, {"downsample_in_first_stage": (False,), "downsample_in_bottleneck": (False,)})
    width = whole(config, "embedding_size", 64)
    kind = config.get("layer_type") or "bottleneck"
    blocks, sizes = (config.get(name) for name in ("depths", "hidden_sizes"))
    depths = [depth for depth, plan in PLANS.items() if plan == (_tuple(blocks), KINDS[kind])]
    if not depths:
        raise InputError(
            f"depths in config.json are {blocks} with {kind} layers; those that can be read are "
            f"of {', '.join(map(str, PLANS))} layers"
        )
    if _tuple(sizes) != _sizes(width, KINDS[kind]):
        raise InputError(
            f"hidden_sizes in config.json are {sizes}; after embedding_size {width} they must be "
            f"{list(_sizes(width, KINDS[kind]))}"
        )
    return {**KNOWN, **pixels.options(config), "depth": depths[0], "width": width}


def facts(config: Config, beside: Beside) -> dict[str, Any]:
    """``labels``, and of the images ``channels`` and ``size``."""
    del beside
    return {"labels": labels.read(config), **pixels.facts(config)}


def to_ours(weights: Weights, config: Config) -> dict[str, np.ndarray]:
    """Variables by our paths, running means and variances too; without a head there is none."""
    headless = "classifier.1.weight" not in weights
    pairs = _pairs(options(config)["depth"])
    return layout.to_ours(
        (pair for pair in pairs if not (headless and pair.ours.startswith("params/head"))), weights
    )


def refused(options: Mapping[str, Any]) -> str:
    """What only other options of a ``ResNet`` have."""
    for name, known in KNOWN.items():
        if options[name] != known:
            return f"has --model.{name} {known}, and this has {options[name]}"
    if options["depth"] not in PLANS:
        return f"has --model.depth {', '.join(map(str, PLANS))}, and this has {options['depth']}"
    return ""


def to_theirs(
    variables: Arrays, options: Mapping[str, Any], facts: Mapping[str, Any]
) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
    """Their tensors and config."""
    plan = PLANS[options["depth"]]
    weights = layout.to_theirs(_pairs(options["depth"]), variables)
    channels, width = variables["params/stem/kernel"].shape[2:]
    named = {}
    for name, tensor in weights.items():
        name = name if name.startswith("classifier.") else f"resnet.{name}"
        named[name] = tensor
        if name.endswith("running_var"):
            named[name.replace("running_var", "num_batches_tracked")] = np.zeros((), np.int64)
    config = {
        "model_type": "resnet",
        "architectures": ["ResNetForImageClassification"],
        "num_channels": channels,
        "embedding_size": width,
        "hidden_sizes": list(_sizes(width, plan.convolutions)),
        "depths": list(plan.blocks),
        "layer_type": {count: name for name, count in KINDS.items()}[plan.convolutions],
        "hidden_act": "relu",
        "downsample_in_first_stage": False,
        "downsample_in_bottleneck": False,
        "dtype": "float32",
        **labels.written(facts, variables["params/head/kernel"].shape[1]),
        **pixels.written(options, facts.get("size")),
    }
    return named, config


def _sizes(width: int, convolutions: int) -> tuple[int, ...]:
    """The channels after each stage."""
    return tuple(width * 2**stage * (4 if convolutions == 3 else 1) for stage in range(4))


def _tuple(value: Any) -> Any:
    return tuple(value) if isinstance(value, list) else value


def _pairs(depth: int) -> Iterator[Pair]:
    """All tensors; the shortcuts that a network of any kind may have."""
    plan = PLANS[depth]
    yield from _convolution("stem", "norm", "embedder.embedder")
    for stage, blocks in enumerate(plan.blocks):
        for block in range(blocks):
            here, there = f"stage_{stage}_block_{block}", f"encoder.stages.{stage}.layers.{block}"
            for n in range(plan.convolutions):
                yield from _convolution(
                    f"{here}/conv_{n}", f"{here}/norm_{n}", f"{there}.layer.{n}"
                )
            if not block and (stage or plan.convolutions == 3):
                yield from _convolution(
                    f"{here}/shortcut", f"{here}/norm_shortcut", f"{there}.shortcut"
                )
    yield from linear("params/head", "classifier.1", bias=True)


def _convolution(kernel: str, norm: str, theirs: str) -> Iterator[Pair]:
    """A convolution and its batch normalization."""
    yield Pair(f"params/{kernel}/kernel", f"{theirs}.convolution.weight", CONVOLUTION)
    yield Pair(f"params/{norm}/scale", f"{theirs}.normalization.weight")
    yield Pair(f"params/{norm}/bias", f"{theirs}.normalization.bias")
    yield Pair(f"batch_stats/{norm}/mean", f"{theirs}.normalization.running_mean")
    yield Pair(f"batch_stats/{norm}/var", f"{theirs}.normalization.running_var")
