"""Training of a codebook of image tokens (van den Oord et al., 2017)."""

from __future__ import annotations

import json
from dataclasses import dataclass

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Int

from bigmodel.config import from_json, to_json
from bigmodel.experiment import (
    Array,
    Assets,
    Batch,
    Data,
    Experiment,
    InputError,
    Mean,
    Measured,
    Model,
    PyTree,
    Results,
    Rows,
    scalars,
)
from bigmodel.models.images.autoencoder import Shape
from bigmodel.models.images.vqvae import Quantized, Vqvae
from bigmodel.training.fitting import fit
from bigmodel.training.generative.autoencoding import (
    per_image,
    pixel_error,
    reconstructions,
    sum_of_squares,
)
from bigmodel.training.metrics import weighted
from bigmodel.training.optimizers import Optimizer
from bigmodel.training.supervision import supervised

CODEBOOK = "codebook.json"


@dataclass(frozen=True)
class Tokens:
    """The network that makes tokens of images, and images of tokens."""

    run: str = ""
    """run directory of `vqvae.py` on images of the same size; divided as they are here, so that it
    has seen none to test on; by default a network is trained before the run"""
    model: Vqvae = Vqvae()
    optimizer: Optimizer = Optimizer("adam", learning_rate=2e-3, eps=1e-6)
    steps: int = 2000
    """steps for which it is trained before the run"""

    def __post_init__(self) -> None:
        """Raises InputError for a network that is not trained."""
        if self.steps < 1:
            raise InputError(f"--tokens.steps is {self.steps}; it must be at least 1")

    def train(self, data: Data, shape: Shape) -> PyTree:
        """The parameters of a network that is trained on images of a shape, whatever the seed."""
        model = self.model.build(shape)
        steps = self.steps
        experiment = quantizing(model, self.optimizer, data, commitment=0.25, steps=steps)
        return jax.device_get(fit(experiment, steps=steps).evaluated["params"])


class OwnTokens(Tokens):
    """Those of a run that trained their network itself, which are no part of its data."""


def dump_codebook(options: Vqvae) -> Assets:
    """The file of a run from which :func:`read_codebook` reads the options of its codebook."""
    return {CODEBOOK: json.dumps(to_json(options)).encode()}


def read_codebook(assets: Assets) -> Vqvae:
    """The options of the codebook of a run."""
    return from_json(Vqvae(), json.loads(assets[CODEBOOK]))


def quantizing(
    model: Model,
    optimizer: Optimizer,
    data: Data,
    *,
    commitment: float,
    steps: int,
) -> Experiment:
    """An experiment that learns to restore images from the codes of a codebook.

    With the image ``x``, what the encoder makes of it ``z``, the codes next to that ``e``, and
    ``sg`` for what has no gradient, the loss is ``|decode(e) - x|^2 + |sg(z) - e|^2 + commitment
    |z - sg(e)|^2``, summed over pixels or positions, with the mean over the features of a code. The
    gradient of the first goes past the codes to ``z``. ``perplexity``, at most the number of codes,
    says how evenly they are used: e to the power of the entropy of their shares.

    Args:
        model: images to :class:`~bigmodel.models.images.vqvae.Quantized`.
        optimizer: as for :func:`~bigmodel.training.supervision.supervised`.
        data: batches with ``image`` in [0, 1] and ``weight``.
        commitment: how strongly what the encoder gives is drawn to the codes.
        steps: length of the run.

    Raises:
        InputError: the commitment is negative or not finite.
    """
    if not 0 <= commitment < float("inf"):
        raise InputError(f"--commitment {commitment} must be 0 or more; 0.25 is usual")

    def loss(outputs: Quantized, batch: Batch) -> Mean:
        fixed, still = jax.lax.stop_gradient((outputs.code, outputs.nearest))
        error = sum_of_squares(outputs, batch)
        codebook = quantization(outputs._replace(code=fixed), batch)
        encoder = quantization(outputs._replace(nearest=still), batch)
        return Mean(error.total + codebook.total + commitment * encoder.total, error.count)

    def tokens(outputs: Quantized, batch: Batch) -> Array:
        del batch
        return outputs.tokens

    def summarize(measured: Measured) -> Results:
        rows = measured["tokens"]
        assert isinstance(rows, Rows)
        return {**scalars(measured), "perplexity": perplexity(rows.values)}

    return supervised(
        model,
        loss,
        {"squared_error": pixel_error, "quantization": quantization},
        optimizer,
        data,
        steps=steps,
        show=reconstructions(model, data),
        gathered={"tokens": tokens},
        summarize=summarize,
    )


def quantization(outputs: Quantized, batch: Batch) -> Mean:
    """The squares of the distances to the codes per feature, summed over an image's positions."""
    squares = jnp.square(outputs.code - outputs.nearest)
    return weighted(per_image(squares) / squares.shape[-1], batch)


def perplexity(tokens: Int[np.ndarray, "image row column"]) -> float:
    """``exp(-sum p log p)`` over the shares of codes: their number where each is as frequent."""
    _, counts = np.unique(tokens, return_counts=True)
    share = counts / tokens.size
    return float(np.exp(-np.sum(share * np.log(share))))
