r"""Deep convolutional GAN on small images (Radford et al., 2015), told their classes.

    python experiments/gan.py   # digits: Fréchet distance 1.0 to 1.3 (3 seeds)
    python experiments/gan.py --loss wasserstein --gradient-penalty 10 --critic-steps 3 \
        --r1 0 --run.steps 500   # digits: 0.9, in twice the time
    python experiments/gan.py --model.no-conditional   # 2.1
    python experiments/gan.py --data.name fashion_mnist --data.batch-size 64 --run.steps 4000

`train/loss` is the discriminator's. It falls from 1.386 while the discriminator wins, and
comes back as the generator gets better. How good the images are, `test/frechet_distance`
says, in the features of a classifier that is trained on the same images first. Real digits
of the training set have 0.7 there, and the generator has more than 5 after 200 steps.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import jax
import numpy as np

from bigmodel.data import ImageData, ImageReader, image_reader, load_images
from bigmodel.experiment import Array, Assets, Batch, Experiment, Model, Shown, Variables
from bigmodel.figures.grid import tile
from bigmodel.models import Dcgan
from bigmodel.predictor import Predictor
from bigmodel.runtime import Run, Settings, main
from bigmodel.training import (
    LossName,
    Optimizer,
    Quality,
    SampleReader,
    adversarial,
    image_predictor,
    latents,
    with_sample_inputs,
)


@dataclass(frozen=True)
class Config(Settings):
    """A generator and a discriminator and how they are trained."""

    data: ImageData = ImageData()
    model: Dcgan = Dcgan(conditional=True)
    optimizer: Optimizer = Optimizer(
        "adam", learning_rate=1e-3, schedule="constant", b1=0.5, ema=0.995
    )
    discriminator_optimizer: Optimizer = Optimizer(
        "adam", learning_rate=1e-3, schedule="constant", b1=0.5
    )
    loss: LossName = "non_saturating"
    """losses of both networks; wasserstein wants --gradient-penalty 10 --critic-steps 5 --r1 0"""
    r1: float = 1.0
    """weight of the penalty on the discriminator's gradient at real images"""
    gradient_penalty: float = 0.0
    """weight of the penalty that draws the norm of its gradients between both kinds to 1"""
    critic_steps: int = 1
    """updates of the discriminator for each one of the generator, on a batch each"""
    quality: Quality = Quality()
    run: Run = Run(steps=1000, eval_every=200, best="validation/frechet_distance")


def build(config: Config, assets: Assets | None = None) -> Experiment:
    """The experiment of a config, or of a trained run's assets to evaluate other data."""
    config.data.check_unmixed("a generator is trained on real images")
    images = load_images(config.data, assets)
    generator, discriminator = config.model.build(images.shape, images.classes)
    experiment = adversarial(
        config.begin(generator, assets),
        discriminator,
        config.optimizer,
        config.discriminator_optimizer,
        images.data,
        latent=config.model.latent,
        steps=config.run.total_steps(images.data.steps_per_epoch),
        features=config.quality.features(images.data, images.classes),
        loss=config.loss,
        r1=config.r1,
        gradient_penalty=config.gradient_penalty,
        critic_steps=config.critic_steps,
        show=sampler(generator, config.model, images.classes),
    )
    return with_sample_inputs(experiment, sample_reader(config, images.reader))


def sample_reader(config: Config, images: ImageReader) -> SampleReader:
    """What encodes the class and the seed of an image to draw."""
    names = images.names if config.model.conditional else ()
    return SampleReader(names, "latent", (config.model.latent,))


def predictor(config: Config, assets: Assets) -> Predictor:
    """What a trained run answers: an image of a class."""
    images = image_reader(assets)
    generator, _ = config.model.build(images.shape, len(images.names))

    def generate(variables: Variables, batch: Batch) -> Array:
        return generator.apply(variables, batch, train=False, key=None)[0]

    return image_predictor(sample_reader(config, images), generate)


def sampler(generator: Model, model: Dcgan, classes: int) -> Callable[[Variables], Shown]:
    """What to show: ten rows of images, of the same latents each time, a class a column."""
    columns = classes if model.conditional else 10
    batch = {
        "latent": latents(10 * columns, (model.latent,), stream="show"),
        "label": np.tile(np.arange(columns, dtype=np.int32), 10),
    }

    @jax.jit
    def sample(variables: Variables) -> jax.Array:
        return generator.apply(variables, batch, train=False, key=None)[0]

    def show(variables: Variables) -> Shown:
        images = np.asarray(sample(variables))
        enlarge = -(-32 // images.shape[1])
        return {"samples": tile(images, columns=columns, enlarge=enlarge)}

    return show


TINY = (
    "--model.widths", "8", "16", "--model.latent=8", "--data.batch-size=32",
    "--quality.model.widths", "4", "--quality.model.dense=8", "--quality.steps=20",
    "--optimizer.learning-rate=2e-3", "--discriminator-optimizer.learning-rate=2e-3",
    "--run.steps=60",
)  # fmt: skip


if __name__ == "__main__":
    main(build, Config())
