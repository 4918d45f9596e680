r"""Images of texts: a transformer over the tokens of a codebook (Ramesh et al., 2021).

    python experiments/text_to_image.py
    python launch.py predict RUN seven three --count 8 --out DIR

A run of `cnn.py` recognises 96 % of 400 digits that were asked for by their names, 40 of each, of
the best checkpoint, that of step 250; at `--sampling.temperature 1` 89 % (1.7 minutes with
`--tokens.run`, measured on 2 cores). Without dropout the loss of that step is 4.2 nats in place of
2.7, and they are 87 and 78 %.

It goes on from the words of a text with the tokens of an image, which a trained network of
`vqvae.py` makes of images, and images of tokens. That is trained first, or given:

    python experiments/text_to_image.py --tokens.run runs/vqvae

Your own images, a file of lines IMAGE<tab>TEXT:

    python experiments/text_to_image.py --data.name files --data.path TSV \
        --tokens.model.widths 32 64 128
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import jax
import jax.numpy as jnp
import numpy as np

from bigmodel.data import CaptionData, TextReader, image_reader, load_captions, text_reader
from bigmodel.experiment import (
    Array,
    Assets,
    Batch,
    Experiment,
    InputError,
    Mean,
    Shown,
    Variables,
)
from bigmodel.figures.grid import tile
from bigmodel.inference.teaching import load_codebook
from bigmodel.models import Gpt, Sampling, TextToImage
from bigmodel.models.text_to_image import CODES, Foretold
from bigmodel.predictor import Beginning, Predictor
from bigmodel.runtime import Run, Settings, main
from bigmodel.training import (
    Optimizer,
    TextSampleReader,
    Tokens,
    image_predictor,
    perplexity,
    read_codebook,
    supervised,
)
from bigmodel.training.metrics import negative_log_likelihood, weighted


@dataclass(frozen=True)
class Draws:
    """How tokens are drawn."""

    temperature: float = 0.7
    """divisor of the logits; below 1 makes likelier images, 0 always takes the likeliest token"""
    top_k: int = 0
    """number of likeliest tokens to draw from; 0 for all"""


@dataclass(frozen=True)
class Config(Settings):
    """A transformer over texts and image tokens, and how it is trained."""

    data: CaptionData = CaptionData()
    tokens: Tokens = Tokens()
    model: Gpt = Gpt(dropout=0.2)
    optimizer: Optimizer = Optimizer(
        "adamw", learning_rate=3e-3, warmup_steps=50, weight_decay=0.1, b2=0.95, clip=1.0
    )
    sampling: Draws = Draws()
    run: Run = Run(steps=1000, eval_every=250)


def build(config: Config, assets: Assets | None = None) -> Experiment:
    """The experiment of a config, or of a trained run's assets to evaluate other data."""
    if config.privacy.epsilon is not None and not config.tokens.run:
        raise InputError(
            "--privacy.epsilon does not protect the images that the tokens are learned from; give "
            "--tokens.run, a run on others"
        )
    pairs = load_captions(config.data, assets)
    shape = pairs.images.shape
    codebook = load_codebook(config.tokens, pairs.data, shape, assets)
    network = TextToImage(
        config.model, codebook.options, shape, words=pairs.texts.vocab_size, time=pairs.texts.time
    )
    inputs = {
        split: [
            Beginning(pairs.captions[number])
            for batch in batches
            for number in batch["caption"][batch["weight"] > 0]
        ]
        for split, batches in codebook.data.splits.items()
    }
    return supervised(
        config.begin(network.build(codebook.params), assets),
        next_code,
        {},
        replace(config.optimizer, freeze=(f"^{CODES}/", *config.optimizer.freeze)),
        codebook.data._replace(inputs=inputs),
        steps=config.run.total_steps(pairs.data.steps_per_epoch),
        summarize=perplexity(),
        show=shown(drawer(config, network), pairs.texts),
    )


def next_code(outputs: Foretold, batch: Batch) -> Mean:
    """Nats per token of an image."""
    nats = negative_log_likelihood(outputs.logits, outputs.targets)
    return weighted(jnp.mean(nats, axis=1), batch)


def drawer(config: Config, network: TextToImage) -> Callable[[Variables, Batch], Array]:
    """What draws images of texts."""
    return network.drawer(Sampling(**vars(config.sampling)))


def predictor(config: Config, assets: Assets) -> Predictor:
    """What a trained run answers: an image of a text."""
    texts, images = text_reader(assets), image_reader(assets)
    network = TextToImage(
        config.model, read_codebook(assets), images.shape, words=texts.vocab_size, time=texts.time
    )
    return image_predictor(TextSampleReader(texts), drawer(config, network))


def shown(
    draw: Callable[[Variables, Batch], Array], texts: TextReader
) -> Callable[[Variables], Shown]:
    """What to show: ten rows of images, of the same seeds each time, a frequent text a column."""
    names = [Beginning(name) for name in texts.names[:10]]
    wishes = [{"class": name, "seed": seed} for seed in range(10) for name in names]
    batch = TextSampleReader(texts).encode(wishes)
    drawn = jax.jit(lambda variables: draw(variables, batch))

    def show(variables: Variables) -> Shown:
        images = np.asarray(drawn(variables))
        return {"samples": tile(images, columns=len(names), enlarge=-(-32 // images.shape[1]))}

    return show


TINY = (
    "--model.layers=1", "--model.width=32", "--data.batch-size=32", "--tokens.steps=20",
    "--tokens.model.codes=16", "--tokens.model.features=4", "--tokens.model.widths", "8",
    "--run.steps=60",
)  # fmt: skip


if __name__ == "__main__":
    main(build, Config())
