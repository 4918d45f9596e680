"""The training loop without anything around it: for notebooks, and for small networks."""

from __future__ import annotations

from typing import Any

import jax

from bigmodel.experiment import Experiment


def fit(experiment: Experiment, *, steps: int, seed: int = 0) -> Any:
    """Trains an experiment on one device and returns its state.

    Initial parameters, batches and random keys are those of a run with this seed, so the state is
    that of the run up to rounding. No file is read or written, and nothing is checked.

    Args:
        experiment: what is trained.
        steps: number of updates; a schedule of the learning rate wants that of the experiment.
        seed: decides everything that is random.

    Returns:
        The state; ``state.evaluated`` are the variables to use.

    Example:
        >>> from bigmodel.data.images.images import ImageData, load_images
        >>> from bigmodel.models.images.cnn import ConvNet
        >>> from bigmodel.training import Optimizer, classifier, fit
        >>> images = load_images(ImageData("digits", batch_size=64))
        >>> model = ConvNet(widths=(8,), convolutions=(1,), dense=(32,)).build(images.classes)
        >>> optimizer = Optimizer("adam", learning_rate=5e-3)
        >>> experiment = classifier(model, images.data, images.names, optimizer, steps=100)
        >>> state = fit(experiment, steps=100)
        >>> batch = images.data.splits["test"][0]
        >>> logits, _ = model.apply(state.evaluated, batch, train=False)
        >>> bool((logits.argmax(axis=-1) == batch["label"]).mean() > 0.8)
        True
    """
    key = jax.random.key(seed)
    state = jax.jit(experiment.init)(jax.random.fold_in(key, 0))
    step = jax.jit(experiment.train_step, donate_argnums=0)
    key = jax.random.fold_in(key, 1)
    for i in range(steps):
        state, _, _ = step(state, experiment.data.train(seed, i), jax.random.fold_in(key, i))
    return state
