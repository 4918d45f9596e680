r"""Autoencoders of small images: plain, denoising and variational.

The plain one is compared with principal components (`test/pca_squared_error`), fitted to the
training images and as many as there are latents. The denoising one (Vincent et al., 2008)
sees noisy images and restores them without. Of the variational one (Kingma and Welling, 2014)
`test/negative_elbo` is in nats per image, with one fixed sample of the latents for each image
and a Bernoulli variable for each pixel between 0 and 1.

    python experiments/autoencoder.py                # digits: variational, 24.0 nats
    python experiments/autoencoder.py --kind plain   # error of a pixel 0.0058, of PCA 0.0113
    python experiments/autoencoder.py --kind plain --model.latents 2    # 0.034, PCA 0.053

Fashion-MNIST, 2.2 min each on 2 shared cores: variational, 242.0 nats; plain, 0.0096, PCA 0.0204:

    python experiments/autoencoder.py --data.name fashion_mnist --model.latents 20 \
        --run.steps 4000 --run.eval-every 2000 --quality.steps 100 --optimizer.ema 0.999
    python experiments/autoencoder.py --data.name fashion_mnist --kind plain --run.epochs 20 \
        --run.eval-every-epochs 10
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import jax
import numpy as np

from bigmodel.data import ImageData, image_reader, load_images
from bigmodel.experiment import Array, Assets, Batch, Experiment, Model, Shown, Variables
from bigmodel.figures.grid import tile
from bigmodel.models import Autoencoder
from bigmodel.predictor import Predictor
from bigmodel.runtime import Run, Settings, main
from bigmodel.training import (
    Kind,
    Optimizer,
    Quality,
    autoencoding,
    coding,
    latents,
    pca_squared_error,
    reconstruction_predictor,
    with_distance,
    with_latents,
)


@dataclass(frozen=True)
class Config(Settings):
    """An encoder and a decoder and how they are trained."""

    data: ImageData = ImageData()
    kind: Kind = "variational"
    """plain; denoising: restores images from noisy ones; variational (Kingma and Welling, 2014)"""
    noise: float = 0.3
    """denoising: standard deviation of the noise on pixels between 0 and 1"""
    model: Autoencoder = Autoencoder()
    optimizer: Optimizer = Optimizer("adam", learning_rate=1e-3, eps=1e-6)
    quality: Quality = Quality()
    run: Run = Run(steps=2000, eval_every=500)


def networks(config: Config, shape: tuple[int, int, int]) -> tuple[Model, Model]:
    """The encoder and the decoder of a config for images of a shape."""
    return config.model.build(shape, per_latent=2 if config.kind == "variational" else 1)


def build(config: Config, assets: Assets | None = None) -> Experiment:
    """The experiment of a config, or of a trained run's assets to evaluate other data."""
    config.data.check_unmixed("an autoencoder restores images")
    images = load_images(config.data, assets)
    size = config.model.latents
    encoder, decoder = networks(config, images.shape)
    metrics = {}
    if config.kind == "plain":
        metrics["pca_squared_error"] = pca_squared_error(images.data, size)
    model = coding(encoder, decoder, kind=config.kind, latents=size, noise=config.noise)
    experiment = autoencoding(
        config.begin(model, assets),
        config.optimizer,
        images.data,
        kind=config.kind,
        latents=size,
        steps=config.run.total_steps(images.data.steps_per_epoch),
        names=images.names,
        metrics=metrics,
    )
    if config.kind != "variational":
        return experiment

    def generate(variables: Variables, batch: Batch) -> Array:
        logits, _ = decoder.apply(variables, {"latent": batch["prior"]}, train=False, key=None)
        return jax.nn.sigmoid(logits)

    features = config.quality.features(images.data, images.classes)
    experiment = with_distance(experiment, generate, features)
    data = with_latents(experiment.data, (size,), name="prior")
    assert experiment.show is not None
    return experiment._replace(data=data, show=with_samples(experiment.show, generate, size))


def predictor(config: Config, assets: Assets) -> Predictor:
    """What a trained run answers: the latents of an image, and what is restored from them."""
    reader = image_reader(assets)
    encoder, decoder = networks(config, reader.shape)
    return reconstruction_predictor(encoder, decoder, reader, latents=config.model.latents)


def with_samples(
    show: Callable[[Variables], Shown], generate: Callable[[Variables, Batch], Array], size: int
) -> Callable[[Variables], Shown]:
    """What to show: also a hundred images from the prior, of the same latents each time."""
    batch = {"prior": latents(100, (size,), stream="show")}
    draw = jax.jit(lambda variables: generate(variables, batch))

    def show_all(variables: Variables) -> Shown:
        images = np.asarray(draw(variables))
        enlarge = -(-32 // images.shape[1])
        return {**show(variables), "samples": tile(images, columns=10, enlarge=enlarge)}

    return show_all


TINY = (
    "--model.hidden", "16", "--model.latents=2", "--data.batch-size=32",
    "--quality.model.widths", "4", "--quality.model.dense=8", "--quality.steps=20",
    "--optimizer.learning-rate=5e-3", "--run.steps=60",
)  # fmt: skip


if __name__ == "__main__":
    main(build, Config())
