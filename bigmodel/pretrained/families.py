"""The families of networks that other layouts know, each in a module of its name."""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from typing import Any, Protocol, cast

import numpy as np

from bigmodel.experiment import InputError
from bigmodel.pretrained.layout import Arrays, Weights

KINDS: Mapping[str, str] = {
    "bert": "bert",
    "gpt2": "gpt2",
    "llama": "llama",
    "mistral": "llama",
    "qwen2": "llama",
    "qwen3": "llama",
    "resnet": "resnet",
    "vit": "vit",
}
"""The family of a ``model_type`` of ``config.json``."""

MODELS: Mapping[str, str] = {
    "bert": "Bert",
    "gpt2": "Gpt",
    "llama": "Gpt",
    "resnet": "ResNet",
    "vit": "Vit",
}
"""The dataclass of options, in ``bigmodel.models``, whose networks a family's are."""

Config = Mapping[str, Any]


class Beside(Protocol):
    """What else is in the folder."""

    def __call__(self, file: str, kind: type = dict) -> Any:
        """The object, or list, in a JSON file by its name; empty where there is no such file."""


class Family(Protocol):
    """A module that turns the networks of a family to ours and back.

    ``config`` is what ``config.json`` has, and as ``image_processor`` what
    ``preprocessor_config.json`` has, where there is one. Our paths begin with the collection:
    ``params/blocks_0/attention/query/kernel``. What cannot be turned raises InputError with a line
    that names neither file nor folder.
    """

    SPARE: str
    """A regular expression of the names of tensors that our networks do without."""
    PREFIXES: tuple[str, ...]
    """What may stand before the names of tensors that ``to_ours`` asks for: ``("bert.",)``."""
    LINES: str
    """Python that runs a written folder, from within, with transformers: it reads the arrays of our
    batch in ``sample_input.npz`` and leaves ``outputs``, an array ``logits``."""

    def options(self, config: Config) -> Mapping[str, Any]:
        """The options of our model that the config decides, nested as the dataclass is."""

    def facts(self, config: Config, beside: Beside) -> Mapping[str, Any]:
        """What else a user of the folder needs: see ``bigmodel.pretrained.source.Source``."""

    def to_ours(self, weights: Weights, config: Config) -> Mapping[str, np.ndarray]:
        """Variables by our paths, views of their tensors where that is possible."""

    def refused(self, options: Mapping[str, Any]) -> str:
        """What in the options of our model a network of the family cannot have; "" if nothing."""

    def to_theirs(
        self, variables: Arrays, options: Mapping[str, Any], facts: Mapping[str, Any]
    ) -> tuple[Mapping[str, np.ndarray], dict[str, Any]]:
        """Their tensors and config, of variables by our paths with blocks one by one.

        ``options`` are all of our model's; ``facts`` are as ``facts`` gives them.
        """


def family(name: str) -> Family:
    """The module of a family."""
    return cast(Family, importlib.import_module(f"bigmodel.pretrained.{name}"))


def family_of(config: Config) -> str:
    """The family of a ``config.json``; raises InputError for one that is not read."""
    kind = config.get("model_type")
    if not isinstance(kind, str) or kind not in KINDS:
        raise InputError(
            f"model_type in config.json is {str(kind)[:40]!r}; those that can be read are "
            f"{', '.join(KINDS)}"
        )
    return KINDS[kind]


def writer_of(model: str, options: Mapping[str, Any]) -> str:
    """The family as which networks of these options can be written.

    Args:
        model: The name of the options' dataclass: ``Gpt``.
        options: All of them, by name.

    Raises:
        InputError: no family has such networks.
    """
    names = [name for name, of in MODELS.items() if of == model]
    refused = {name: family(name).refused(options) for name in names}
    for name, why in refused.items():
        if not why:
            return name
    said = "; ".join(f"{name} {why}" for name, why in refused.items())
    raise InputError(said or f"a {model} has no counterpart among {', '.join(MODELS)}")
