r"""A codebook of image tokens: VQ-VAE (van den Oord et al., 2017).

    python experiments/vqvae.py   # digits: error of a pixel 0.0044, 3 min on 2 shared cores

An image becomes a grid of tokens, 4x4 of them for a digit of 8x8, and is restored from these; what
follows each other in such grids `text_to_image.py` learns. `perplexity` says how many of the codes
are in use: 96 of 128. Your own images, one subfolder a class, whose names do not matter here:

    python experiments/vqvae.py --data.name folder --data.path DIR --model.widths 32 64 128
"""

from __future__ import annotations

from dataclasses import dataclass

from bigmodel.data import ImageData, image_reader, load_images
from bigmodel.experiment import Assets, Experiment
from bigmodel.models import Vqvae
from bigmodel.predictor import Predictor
from bigmodel.runtime import Run, Settings, main
from bigmodel.training import (
    Optimizer,
    dump_codebook,
    quantizing,
    reconstruction_predictor,
)


@dataclass(frozen=True)
class Config(Settings):
    """An encoder to codes and a decoder, and how they are trained."""

    data: ImageData = ImageData()
    model: Vqvae = Vqvae()
    commitment: float = 0.25
    """weight of the distance from what the encoder gives to the codes, which draws it to them"""
    optimizer: Optimizer = Optimizer("adam", learning_rate=2e-3, eps=1e-6)
    run: Run = Run(steps=2000, eval_every=500)


def build(config: Config, assets: Assets | None = None) -> Experiment:
    """The experiment of a config, or of a trained run's assets to evaluate other data."""
    config.data.check_unmixed("an autoencoder restores images")
    images = load_images(config.data, assets)
    kept = {**images.data.assets, **dump_codebook(config.model)}
    return quantizing(
        config.begin(config.model.build(images.shape), assets),
        config.optimizer,
        images.data._replace(assets=kept),
        commitment=config.commitment,
        steps=config.run.total_steps(images.data.steps_per_epoch),
    )


def predictor(config: Config, assets: Assets) -> Predictor:
    """What a trained run answers: the tokens of an image, and what is restored from them."""
    reader = image_reader(assets)
    return reconstruction_predictor(*config.model.halves(reader.shape), reader, code="token")


TINY = (
    "--model.codes=16", "--model.features=4", "--model.widths", "8", "--data.batch-size=32",
    "--optimizer.learning-rate=5e-3", "--run.steps=60",
)  # fmt: skip


if __name__ == "__main__":
    main(build, Config())
