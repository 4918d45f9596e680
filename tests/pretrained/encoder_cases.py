"""Small networks of the families of encoders, as a folder there and as a model here."""

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np
from safetensors.numpy import save_file

from bigmodel.config import from_json
from bigmodel.experiment import Batch, Model
from bigmodel.models import Bert, ResNet, Vit
from bigmodel.tree import named_leaves

VOCAB, CONTEXT, CLASSES = 40, 15, 3
SPECIAL = {"first": 2, "separator": 3, "mask": 4}
TEXT = {"vocab_size": VOCAB, "context": CONTEXT, "special": SPECIAL}
RNG = np.random.default_rng(0)
BERT = Bert(
    layers=2, width=16, heads=4, expansion=2, activation="gelu_exact", norm="post", biases=True,
    epsilon=1e-5, token_types=2, scan=False,
)  # fmt: skip
POOLED = Bert(**{**vars(BERT), "pooler": True})
PIXELS = {"mean": (0.5, 0.4, 0.3), "deviation": (0.2, 0.3, 0.5)}
VIT = Vit(
    patch=4, layers=2, width=16, heads=4, expansion=2, activation="gelu_exact", pooling="token",
    biases=True, epsilon=1e-5, scan=False, **PIXELS,
)  # fmt: skip


def resnet(depth: int) -> ResNet:
    return ResNet(depth, width=8, padding="symmetric", **PIXELS)


def tokens() -> Batch:
    ids = RNG.integers(5, VOCAB, (3, CONTEXT)).astype(np.int32)
    ids[:, 6] = SPECIAL["separator"]
    return {
        "tokens": ids,
        "length": np.array([CONTEXT, 9, 3], np.int32),
        "chosen": np.array([[0, 4], [2, 8], [1, 2]], np.int32),
    }


def images(height: int = 32, width: int = 32) -> Batch:
    return {"image": RNG.random((2, height, width, 3), np.float32)}


def odd_images() -> Batch:
    return images(33, 36)


class Case(NamedTuple):
    """A network: its family, options, what is built of these, and a batch."""

    family: str
    options: Any
    build: Callable[[Any], Model]
    batch: Callable[[], Batch]
    facts: Mapping[str, Any] = {"labels": ("cat", "dog", "eel")}


CASES = {
    "BertForMaskedLM": Case("bert", BERT, lambda o: o.masked(**TEXT), tokens),
    "BertForSequenceClassification": Case(
        "bert", POOLED, lambda o: o.classifier(CLASSES, pooling="first", **TEXT), tokens
    ),
    "BertForTokenClassification": Case(
        "bert",
        BERT,
        lambda o: o.tagger(CLASSES, **TEXT),
        tokens,
        {"labels": ("cat", "dog", "eel"), "architecture": "BertForTokenClassification"},
    ),
    "BertModel": Case("bert", BERT, lambda o: o.vectors(pooling="first", **TEXT), tokens),
    "ViTForImageClassification": Case("vit", VIT, lambda o: o.build(CLASSES), images),
    "ResNetForImageClassification": Case(
        "resnet", resnet(18), lambda o: o.build(CLASSES), odd_images
    ),
    "ResNetForImageClassification-50": Case(
        "resnet", resnet(50), lambda o: o.build(CLASSES), odd_images
    ),
}


def variables(case: Case) -> dict[str, np.ndarray]:
    """Random variables by path, with their collections, away from what a network begins with."""
    shapes = jax.eval_shape(case.build(case.options).init, jax.random.key(0), case.batch())
    return {
        path: RNG.uniform(0.5, 1.5, leaf.shape).astype(np.float32)
        if path.endswith(("scale", "var"))
        else (RNG.normal(size=leaf.shape) * 0.2).astype(np.float32)
        for path, leaf in named_leaves(shapes).items()
    }


def write(folder: Path, weights: Mapping[str, np.ndarray], config: Mapping[str, Any]) -> None:
    """A folder in Hugging Face's layout."""
    config = dict(config)
    if processor := config.pop("image_processor", None):
        (folder / "preprocessor_config.json").write_text(json.dumps(processor))
    (folder / "config.json").write_text(json.dumps(config))
    arrays = {name: np.asarray(tensor, order="C") for name, tensor in weights.items()}
    save_file(arrays, folder / "model.safetensors", {"format": "pt"})


def read(case: Case, options: Mapping[str, Any]) -> Any:
    """What a folder's options make of the default ones."""
    return from_json(type(case.options)(), options)
