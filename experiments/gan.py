"""Deep convolutional GAN on small images (Radford et al., 2015).

    python experiments/gan.py   # digits: 40 s on 2 cores, Fréchet distance 1.6 to 2.5 (3 seeds)
    python experiments/gan.py --data.name fashion_mnist --data.batch-size 64 --run.steps 4000

`train/loss` is the discriminator's. It falls from 1.386 while the discriminator wins, and
comes back as the generator gets better. How good the images are, `test/frechet_distance`
says, in the features of a classifier that is trained on the same images first. Real digits
of the training set have 0.7 there, and the generator has 29 to 45 after 200 steps.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import jax
import numpy as np

from bigmodel.data.grid import tile
from bigmodel.data.images import ImageData, Images, load_images
from bigmodel.experiment import Array, Experiment, InputError, Model, Shown
from bigmodel.models.cnn import ConvNet
from bigmodel.models.dcgan import Dcgan
from bigmodel.runtime import Run, Settings, main
from bigmodel.training.adversarial import AdversarialState, adversarial
from bigmodel.training.classifier import fit
from bigmodel.training.latents import latents
from bigmodel.training.losses import cross_entropy
from bigmodel.training.optimizers import Optimizer
from bigmodel.training.supervised import supervised


@dataclass(frozen=True)
class Quality:
    """The classifier in whose features the Fréchet distance is measured."""

    model: ConvNet = ConvNet(widths=(16, 32), convolutions=1, dense=64)
    optimizer: Optimizer = Optimizer("adam", learning_rate=2e-3)
    steps: int = 300
    """steps for which the classifier trains before the run"""

    def __post_init__(self) -> None:
        """Raises InputError for a classifier that is not trained."""
        if self.steps < 1:
            raise InputError(f"--quality.steps is {self.steps}; it must be at least 1")


@dataclass(frozen=True)
class Config(Settings):
    """A generator and a discriminator and how they are trained."""

    data: ImageData = ImageData()
    model: Dcgan = Dcgan()
    optimizer: Optimizer = Optimizer(
        "adam", learning_rate=4e-4, schedule="constant", b1=0.5, ema=0.995
    )
    discriminator_optimizer: Optimizer = Optimizer(
        "adam", learning_rate=4e-4, schedule="constant", b1=0.5
    )
    r1: float = 0.3
    """weight of the penalty on the discriminator's gradient at real images"""
    quality: Quality = Quality()
    run: Run = Run(steps=2000, eval_every=200, best="validation/frechet_distance")


def build(config: Config) -> Experiment:
    """The experiment of a config."""
    images = load_images(config.data)
    generator, discriminator = config.model.build(images.shape)
    return adversarial(
        generator,
        discriminator,
        config.optimizer,
        config.discriminator_optimizer,
        images.data,
        latent=config.model.latent,
        steps=config.run.total_steps(images.data.steps_per_epoch),
        features=classifier_features(config.quality, images),
        r1=config.r1,
        show=sampler(generator, config.model.latent),
    )


def classifier_features(quality: Quality, images: Images) -> Callable[[Array], Array]:
    """What the last layer of a classifier reads, less its mean over training images."""
    model = quality.model.build(images.classes)
    experiment = supervised(
        model, cross_entropy, {}, quality.optimizer, images.data, steps=quality.steps
    )
    # The same classifier whatever the seed of the run, so that runs can be compared.
    variables = jax.device_get(fit(experiment, steps=quality.steps, seed=0).evaluated)
    extractor = quality.model.features(images.classes)

    def features(image: Array) -> Array:
        return extractor.apply(variables, {"image": image}, train=False, key=None)[0]

    centre = np.asarray(jax.jit(features)(images.data.train(0, 0)["image"])).mean(axis=0)
    return lambda image: features(image) - centre[None]


def sampler(generator: Model, latent: int) -> Callable[[AdversarialState], Shown]:
    """What to show: a hundred images, of the same latents each time."""
    batch = {"latent": latents(100, latent, stream="show")}

    @jax.jit
    def sample(state: AdversarialState) -> jax.Array:
        return generator.apply(state.evaluated, batch, train=False, key=None)[0]

    def show(state: AdversarialState) -> Shown:
        images = np.asarray(sample(state))
        enlarge = -(-32 // images.shape[1])
        return {"samples": tile(images, columns=10, enlarge=enlarge)}

    return show


TINY = (
    "--model.widths", "8", "16", "--model.latent=8", "--data.batch-size=32",
    "--quality.model.widths", "4", "--quality.model.dense=8", "--quality.steps=20",
    "--optimizer.learning-rate=2e-3", "--discriminator-optimizer.learning-rate=2e-3",
    "--run.steps=60",
)  # fmt: skip


if __name__ == "__main__":
    main(build, Config())
