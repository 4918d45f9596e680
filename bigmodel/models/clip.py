"""CLIP: an encoder of images and one of texts into one space (Radford et al., 2021)."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal, TypeAlias

import jax
import jax.numpy as jnp
from jax.sharding import PartitionSpec as P
from jaxtyping import Array, Float

from bigmodel.experiment import Batch, Key, Model, PyTree, Variables
from bigmodel.models.images.named_cnn import NamedCnn
from bigmodel.models.layers.extremes import larger, smaller
from bigmodel.models.options import check_sizes
from bigmodel.models.texts.bert import Bert
from bigmodel.partition import rules_below
from bigmodel.tree import widened

READS = {"image": "image", "text": "tokens"}
"""The array of a batch by whose presence a tower has something to encode."""
LARGEST_SCALE = 100.0

Contrast: TypeAlias = Literal["infonce", "sigmoid"]
BEGINNINGS: dict[Contrast, dict[str, float]] = {
    "infonce": {"scale": 1 / 0.07},
    "sigmoid": {"scale": 10.0, "bias": -10.0},
}
"""Of cosines, by the loss: they are multiplied by the scale, and the bias is added."""


@dataclass(frozen=True)
class Clip:
    """Two towers whose vectors have length 1, a scale of their products and perhaps a bias."""

    width: int = 64
    """number of features of the space that images and texts share"""
    image: NamedCnn = field(default_factory=NamedCnn)
    text: Bert = Bert(layers=2, width=64)

    def __post_init__(self) -> None:
        """Raises InputError for a space without features."""
        check_sizes(self, "width")

    def build(self, *, vocab_size: int, context: int, contrast: Contrast = "infonce") -> Model:
        """The network: ``image``, ``tokens`` and ``length`` to vectors, scale and bias.

        The outputs are ``image`` and ``text``, float32 ``[batch, width]`` of length 1, and
        ``scale`` and ``bias``, scalars. Of a batch without images or texts there are no such
        vectors.
        """
        towers = {
            "image": self.image.build(self.width),
            "text": self.text.classifier(self.width, vocab_size=vocab_size, context=context),
        }
        begin = BEGINNINGS[contrast]

        def init(key: Key, batch: Batch) -> Variables:
            found: dict[str, dict[str, PyTree]] = {}
            for own, (name, tower) in zip(jax.random.split(key), towers.items(), strict=True):
                for collection, tree in tower.init(own, batch).items():
                    found.setdefault(collection, {})[name] = tree
            found["params"]["log_scale"] = jnp.log(jnp.float32(begin["scale"]))
            if "bias" in begin:
                found["params"]["bias"] = jnp.float32(begin["bias"])
            return found

        def apply(
            variables: Variables, batch: Batch, *, train: bool, key: Key | None = None
        ) -> tuple[PyTree, Variables]:
            updates: dict[str, dict[str, PyTree]] = {}
            params = widened(variables["params"])
            scale = smaller(jnp.exp(params["log_scale"]), jnp.float32(LARGEST_SCALE))
            outputs = {"scale": scale, "bias": params.get("bias", jnp.zeros_like(scale))}
            for number, (name, tower) in enumerate(towers.items()):
                if READS[name] not in batch:
                    continue
                own = {group: tree[name] for group, tree in variables.items() if name in tree}
                stream = None if key is None else jax.random.fold_in(key, number)
                vectors, new = tower.apply(own, batch, train=train, key=stream)
                outputs[name] = unit(vectors)
                for group, tree in new.items():
                    updates.setdefault(group, {})[name] = tree
            return outputs, updates

        rules = [(r"^(log_scale|bias)$", P())]
        for name, tower in towers.items():
            rules += rules_below(name, tower.partition)
        return Model(init, apply, rules)


def unit(vectors: Float[Array, "batch width"]) -> Float[Array, "batch width"]:
    """Vectors of length 1 in the same directions; 0 stays 0, and has a gradient of 0 there."""
    squared = jnp.sum(jnp.square(vectors), axis=1, keepdims=True)
    return vectors * jax.lax.rsqrt(larger(squared, jnp.full_like(squared, 1e-12)))


def zero_shot(model: Model, texts: Batch) -> Model:
    """A classifier of images by texts: its logits are those of each image with each text.

    Args:
        model: what :meth:`Clip.build` gives, whose variables it has.
        texts: ``tokens`` and ``length`` of the texts, a class each.
    """

    def apply(
        variables: Variables, batch: Batch, *, train: bool, key: Key | None = None
    ) -> tuple[Float[Array, "batch class"], Variables]:
        outputs, updates = model.apply(variables, {"image": batch["image"]}, train=train, key=key)
        told, _ = model.apply(variables, texts, train=False, key=None)
        cosines = jnp.einsum("bw,cw->bc", outputs["image"], told["text"])
        return outputs["scale"] * cosines + outputs["bias"], updates

    return model._replace(apply=apply)
