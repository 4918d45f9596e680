"""What a folder says of the images that its network reads."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from bigmodel.experiment import InputError
from bigmodel.pretrained.config_file import fixed, flag, inner, number, whole

PROCESSOR = "image_processor"
"""Where a config has what ``preprocessor_config.json`` says."""
WIDEST = 4096
"""Pixels of a side, and channels, at most: a batch of more takes all memory."""
BILINEAR = 2
"""The number of that way to resize, there."""
LINES = """
import json, numpy, torch
from transformers import AutoModelForImageClassification
image = torch.tensor(numpy.load("sample_input.npz")["image"])
with open("preprocessor_config.json") as file:
    processor = json.load(file)
if processor["do_normalize"]:
    mean, deviation = (torch.tensor(processor[name]) for name in ("image_mean", "image_std"))
    image = (image - mean) / deviation
model = AutoModelForImageClassification.from_pretrained(".", dtype=torch.float32)
with torch.no_grad():
    outputs = {"logits": model(image.permute(0, 3, 1, 2)).logits.numpy()}
"""
"""What families of classifiers of images have: see ``bigmodel.pretrained.families.Family``."""


def options(config: Mapping[str, Any]) -> dict[str, Any]:
    """``mean`` and ``deviation`` of the channels of images from 0 to 1; () where there are none."""
    said = inner(config, PROCESSOR)
    fixed(said, {"do_rescale": (True,)})
    if not said or not flag(said, "do_normalize", True):
        return {"mean": (), "deviation": ()}
    channels = whole(config, "num_channels", 3)
    given = {"mean": "image_mean", "deviation": "image_std"}
    return {ours: _each(said, theirs, channels) for ours, theirs in given.items()}


def facts(config: Mapping[str, Any]) -> dict[str, Any]:
    """``channels``, and ``size``, height and width in pixels, where the folder says it."""
    found = {"channels": whole(config, "num_channels", 3, most=WIDEST)}
    said = inner(config, PROCESSOR).get("size", config.get("image_size"))
    if isinstance(said, Mapping):
        said = said.get("height", said.get("shortest_edge"))
    if type(said) is int:
        found["size"] = whole({"size": said}, "size", most=WIDEST)
    return found


def written(options: Mapping[str, Any], size: int | None) -> dict[str, Any]:
    """The part of a config that becomes ``preprocessor_config.json``."""
    said: dict[str, Any] = {
        "image_processor_type": "ViTImageProcessor",
        "do_resize": size is not None,
        "resample": BILINEAR,
        "do_rescale": True,
        "rescale_factor": 1 / 255,
        "do_normalize": bool(options["mean"] or options["deviation"]),
    }
    if size is not None:
        said["size"] = {"height": size, "width": size}
    if said["do_normalize"]:
        count = len(options["mean"] or options["deviation"])
        said["image_mean"] = list(options["mean"] or (0.0,) * count)
        said["image_std"] = list(options["deviation"] or (1.0,) * count)
    return {PROCESSOR: said}


def _each(said: Mapping[str, Any], name: str, channels: int) -> tuple[float, ...]:
    values = said.get(name)
    if not isinstance(values, list) or len(values) != channels:
        raise InputError(f"{name} in preprocessor_config.json is no list of {channels} numbers")
    return tuple(number({name: value}, name) for value in values)
