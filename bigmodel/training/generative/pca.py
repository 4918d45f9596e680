"""What principal components make of images: the linear autoencoder, fitted exactly."""

from __future__ import annotations

from typing import Any

import jax.numpy as jnp
import numpy as np

from bigmodel.experiment import Batch, Data, Mean
from bigmodel.training.losses import weighted
from bigmodel.training.metrics import Metric


def pca_squared_error(data: Data, components: int) -> Metric:
    """The mean square of a pixel's error when an image is restored from its components.

    They are scikit-learn's, of the images of the first epoch of seed 0, and as many as there
    can be where more are asked for.
    """
    # Imported here, for it takes a second that other experiments need not spend.
    from sklearn.decomposition import PCA

    images = [data.train(0, step)["image"] for step in range(data.steps_per_epoch)]
    rows = np.concatenate(images)
    rows = rows.reshape(len(rows), -1)
    pca = PCA(min(components, *rows.shape), svd_solver="covariance_eigh").fit(rows)
    mean, axes = np.asarray(pca.mean_, np.float32), np.asarray(pca.components_, np.float32)

    def metric(outputs: Any, batch: Batch) -> Mean:
        del outputs
        x = batch["image"].reshape(batch["image"].shape[0], -1) - mean[None]
        return weighted(jnp.mean(jnp.square(x @ axes.T @ axes - x), axis=1), batch)

    return metric
