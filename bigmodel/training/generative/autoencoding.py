"""Autoencoders: plain, denoising (Vincent et al., 2008), variational (Kingma and Welling, 2014)."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from types import MappingProxyType

import jax
import jax.numpy as jnp
import numpy as np

from bigmodel.experiment import (
    Array,
    Batch,
    Data,
    Experiment,
    Mean,
    Measured,
    Model,
    PyTree,
    Results,
    Rows,
    Shown,
    scalars,
)
from bigmodel.figures.grid import tile
from bigmodel.figures.scatter import draw_scatter
from bigmodel.training.generative.coding import (
    Coded,
    Kind,
    divergence,
    negative_elbo,
    reconstruction,
    squared_error,
    sum_of_squares,
)
from bigmodel.training.generative.latents import with_latents
from bigmodel.training.metrics import Metric
from bigmodel.training.optimizers import Optimizer
from bigmodel.training.supervised import TrainState, supervised

COLUMNS = 10


def autoencoding(
    model: Model,
    optimizer: Optimizer,
    data: Data,
    *,
    kind: Kind,
    latents: int,
    steps: int,
    names: Sequence[str],
    metrics: Mapping[str, Metric] = MappingProxyType({}),
) -> Experiment:
    """An experiment that squeezes images into a few numbers and restores them.

    ``loss`` is the square of the error summed over the pixels of an image; for a variational
    autoencoder ``negative_elbo``, in nats per image. In evaluation noise and latents are
    fixed: one sample for each image, the same at every evaluation and in every run.

    Args:
        model: images to :class:`Coded`.
        optimizer: as for :func:`~bigmodel.training.supervised.supervised`.
        data: batches with ``image`` in [0, 1], ``label`` and ``weight``.
        kind: of the model.
        latents: of the model; where there are two, evaluation draws them.
        steps: length of the run.
        names: the classes.
        metrics: more functions ``(Coded, batch) -> Mean`` by name.
    """
    if kind == "variational":
        loss, named = negative_elbo, {"reconstruction": reconstruction, "divergence": divergence}
        data = with_latents(data, (latents,))
        named = {"negative_elbo": negative_elbo, **named}
    else:
        loss, named = sum_of_squares, {}
    if kind == "denoising":
        data = with_latents(data, data.train(0, 0)["image"].shape[1:], name="noise")
    plane = {"embedding": embedding} if latents == 2 else {}

    def summarize(measured: Measured) -> Results:
        drawn = {name: partial(draw_embedding, measured[name], names) for name in plane}
        return {**scalars(measured), **drawn}

    return supervised(
        model,
        loss,
        {**named, "squared_error": squared_error, **metrics},
        optimizer,
        data,
        steps=steps,
        show=reconstructions(model, data),
        gathered=plane,
        summarize=summarize,
    )


def embedding(coded: Coded, batch: Batch) -> PyTree:
    """The code and the label of each image."""
    return {"code": coded.code, "label": batch["label"]}


def draw_embedding(rows: Mean | Rows, names: Sequence[str]) -> np.ndarray:
    """The codes of a split in the plane of their two latents, colored by class."""
    assert isinstance(rows, Rows)
    code, label = rows.values["code"], rows.values["label"]
    return draw_scatter(code, x="latent 0", y="latent 1", classes=label, names=names)


def reconstructions(model: Model, data: Data) -> Callable[[TrainState], Shown]:
    """What to show: images of the last split, each above its reconstruction.

    Between the two is what the encoder saw, where that has noise.
    """
    split = list(data.splits.values())[-1] if data.splits else [data.train(0, 0)]
    batch = split[0]
    real = int(batch["weight"].sum())
    columns = min(COLUMNS, real)

    @jax.jit
    def restore(state: TrainState) -> list[Array]:
        coded, _ = model.apply(state.evaluated, batch, train=False, key=None)
        noisy = [coded.given] if "noise" in batch else []
        return [jnp.asarray(batch["image"]), *noisy, jax.nn.sigmoid(coded.logits)]

    def show(state: TrainState) -> Shown:
        kinds = [np.asarray(images) for images in restore(state)]
        starts = range(0, real - columns + 1, columns)[:3]
        rows = [images[start : start + columns] for start in starts for images in kinds]
        enlarge = -(-32 // kinds[0].shape[1])
        return {"reconstructions": tile(np.concatenate(rows), columns=columns, enlarge=enlarge)}

    return show
