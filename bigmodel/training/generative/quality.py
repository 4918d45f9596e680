"""The classifier in whose features generated images are compared with real ones."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import jax
import numpy as np

from bigmodel.experiment import Array, Data, InputError
from bigmodel.models.images.cnn import ConvNet
from bigmodel.training.fitting import fit
from bigmodel.training.metrics import cross_entropy
from bigmodel.training.optimizers import Optimizer
from bigmodel.training.supervision import supervised


@dataclass(frozen=True)
class Quality:
    """The classifier in whose features the Fréchet distance is measured."""

    model: ConvNet = ConvNet(widths=(16, 32), convolutions=(1,), dense=(64,))
    optimizer: Optimizer = Optimizer("adam", learning_rate=2e-3)
    steps: int = 300
    """steps for which the classifier trains before the run"""

    def __post_init__(self) -> None:
        """Raises InputError for a classifier that is not trained."""
        if self.steps < 1:
            raise InputError(f"--quality.steps is {self.steps}; it must be at least 1")

    def features(self, data: Data, classes: int) -> Callable[[Array], Array]:
        """What the last layer of the classifier reads, less its mean over training images.

        The classifier is the same whatever the seed of the run and whatever is trained in it,
        so distances can be compared.

        Args:
            data: labelled images, on which the classifier trains first.
            classes: how many labels there are.

        Returns:
            A function of images ``[batch, height, width, channel]`` that gives float32
            ``[batch, feature]``.
        """
        experiment = supervised(
            self.model.build(classes), cross_entropy, {}, self.optimizer, data, steps=self.steps
        )
        variables = jax.device_get(fit(experiment, steps=self.steps).evaluated)
        extractor = self.model.features(classes)

        def features(image: Array) -> Array:
            return extractor.apply(variables, {"image": image}, train=False, key=None)[0]

        centre = np.asarray(jax.jit(features)(data.receive(data.train(0, 0))["image"])).mean(axis=0)
        return lambda image: features(image) - centre[None]
