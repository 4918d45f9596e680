r"""Vision Transformer for classes of images (Dosovitskiy et al., 2021).

    python experiments/vit.py   # digits: 1.9 min on 2 shared cores, 95.8 % test accuracy

Fashion-MNIST in 16 patches, 202,634 parameters: 20 min on one of two shared cores, 90.3 % test
accuracy.

    python experiments/vit.py --data.name fashion_mnist --data.flip --data.shift 0 \
        --data.validation 0.05 --model.patch 7 --model.dropout 0.05 --run.epochs 16 \
        --run.eval-every-epochs 4

Your own images, one subfolder a class:

    python experiments/vit.py --data.name folder --data.path DIR --data.size 64 --model.patch 8
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import jax
import numpy as np

from bigmodel.data import ImageData, Images, image_reader, load_images
from bigmodel.experiment import Assets, Experiment, Shown, Variables
from bigmodel.figures.grid import tile
from bigmodel.figures.heatmap import draw_heatmap
from bigmodel.inference.teaching import load_teacher
from bigmodel.models import Vit
from bigmodel.predictor import Predictor
from bigmodel.runtime import Run, Settings, main
from bigmodel.training import (
    Ensemble,
    Optimizer,
    Teacher,
    class_predictor,
    classifier,
    one_member,
)


@dataclass(frozen=True)
class Config(Settings):
    """An image classifier and how it is trained."""

    data: ImageData = ImageData(shift=1)
    model: Vit = Vit()
    optimizer: Optimizer = Optimizer(
        "muon", learning_rate=5e-3, warmup_steps=50, momentum=0.95, eps=1e-6, weight_decay=0.01
    )
    ensemble: Ensemble = Ensemble()
    teacher: Teacher = Teacher()
    run: Run = Run(steps=600, eval_every=200)


def build(config: Config, assets: Assets | None = None) -> Experiment:
    """The experiment of a config, or of a trained run's assets to evaluate other data."""
    images = load_images(config.data, assets)
    return classifier(
        config.begin(config.model.build(images.classes), assets),
        images.data,
        images.names,
        config.optimizer,
        ensemble=config.ensemble,
        teaching=load_teacher(config.teacher, images.data, assets),
        steps=config.run.total_steps(images.data.steps_per_epoch),
        show=attention_maps(config, images),
    )


def predictor(config: Config, assets: Assets) -> Predictor:
    """What a trained run answers: the class of an image."""
    reader = image_reader(assets)
    model = config.model.build(len(reader.names))
    return class_predictor(model, reader, reader.names, ensemble=config.ensemble)


def attention_maps(config: Config, images: Images) -> Callable[[Variables], Shown]:
    """What to show: images, below each where the last block attends; the first one with axes.

    Of an ensemble it is the first member's.
    """
    first = next(iter(images.data.splits.values()), [images.data.train(0, 0)])[0]
    looked_at = images.data.receive(first)["image"][:10]
    maps = jax.jit(config.model.attention_maps(images.classes))

    def show(variables: Variables) -> Shown:
        weights = np.asarray(maps(one_member(variables), looked_at))
        relative = weights / weights.max(axis=(1, 2), keepdims=True)
        size = config.model.patch
        spread = relative.repeat(size, axis=1).repeat(size, axis=2)[..., None]
        spread = np.broadcast_to(spread, looked_at.shape)
        first = partial(
            draw_heatmap,
            weights[0],
            x="column of the patch",
            y="row of the patch",
            value="share of attention",
            rows=[str(i) for i in range(weights.shape[1])],
            columns=[str(i) for i in range(weights.shape[2])],
        )
        both = np.concatenate([looked_at, spread])
        enlarge = -(-64 // looked_at.shape[1])
        images_and_maps = tile(both, columns=len(weights), enlarge=enlarge)
        return {"attention": images_and_maps, "attention_of_the_first": first}

    return show


TINY = (
    "--model.layers=1", "--model.width=16", "--model.heads=2", "--data.batch-size=32",
    "--run.steps=60",
)  # fmt: skip


if __name__ == "__main__":
    main(build, Config())
