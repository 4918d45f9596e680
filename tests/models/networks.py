"""Small networks of every architecture, and a batch that all of them read."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from bigmodel import models
from bigmodel.experiment import Model
from bigmodel.training import coding

RNG = np.random.default_rng(0)
SIZES = {"vocab_size": 11, "context": 8}


def integers(below: int, *shape: int) -> jax.Array:
    return jnp.asarray(RNG.integers(below, size=shape), jnp.int32)


def uniform(*shape: int) -> jax.Array:
    return jnp.asarray(RNG.random(shape), jnp.float32)


LENGTHS = jnp.array([8, 3, 1], jnp.int32)
BATCH = {
    "features": uniform(5, 3),
    "image": uniform(5, 8, 8, 1),
    "time": uniform(5),
    "label": integers(3, 5),
    "spectrum": uniform(3, 8, 5),
    "video": uniform(3, 3, 8, 8, 1),
    "latent": uniform(5, 6),
    "sequence": uniform(3, 8, 2),
    "length": LENGTHS,
    "tokens": integers(11, 3, 8),
    "chosen": integers(8, 3, 2),
    "source": integers(11, 3, 8),
    "source_length": LENGTHS,
    "target_in": integers(11, 3, 8),
    "user": integers(4, 40),
    "item": integers(6, 40),
    "tags": uniform(40, 3),
    "centre": jnp.arange(5, dtype=jnp.int32),
    "context": jnp.arange(5, dtype=jnp.int32),
    "negatives": integers(5, 5, 2),
}


def classes(options: Any) -> Model:
    return options.build(3)


def text(options: Any) -> Model:
    return options.build(**SIZES)


def translation(options: Any) -> Model:
    return options.build(source_vocab=11, target_vocab=11, length=8, beam=models.Beam()).model


def coder(options: Any) -> Model:
    return coding(*options.build((8, 8, 1)), kind="plain", latents=3, noise=0.0)


def rating(options: Any) -> Model:
    return options.build(users=4, items=6, mean=3.5)


class Case(NamedTuple):
    options: Any
    build: Callable[[Any], Model] = classes


TEXT = {"layers": 1, "width": 16, "heads": 4}
GPT = models.Gpt(layers=2, width=16, heads=4)
MLP = models.Mlp(widths=(4, 4))
CNN = models.ConvNet(widths=(4, 6), convolutions=(2,), dense=(5,))
XCEPTION = models.Xception(widths=(4, 6))
GAN = models.Dcgan(latent=6, widths=(4, 6), conditional=True)
CODER = models.Autoencoder(latents=3, hidden=(6, 5), widths=(4, 6))
PUBLISHED = models.Bert(
    **TEXT, norm="post", biases=True, token_types=2, pooler=True, activation="gelu_exact"
)
SPECIAL = {"first": 9, "separator": 10, "mask": 8}
VIT = models.Vit(patch=4, layers=1, width=8, heads=2)
CASES = {
    "mlp": Case(MLP),
    "mlp-all": Case(replace(MLP, widths=(3, 4, 4), norm="layer", residual=True, shortcut=True)),
    "cnn": Case(CNN),
    "cnn-norm": Case(replace(CNN, batch_norm=True)),
    "xception": Case(XCEPTION),
    "xception-norm": Case(replace(XCEPTION, batch_norm=True)),
    "resnet": Case(models.ResNet(8, width=4)),
    "cnn1d": Case(models.ConvNet1d(widths=(4, 6), size=3)),
    "vit": Case(VIT),
    "vit-token": Case(
        replace(
            VIT, pooling="token", biases=True, mean=(0.5,), deviation=(0.2,), remat=True, window=2
        )
    ),
    "unet": Case(models.Unet(widths=(4, 8), conditional=True, attention=True)),
    "pixel-unet": Case(models.PixelUnet(widths=(4, 8))),
    "detector": Case(models.Detector(widths=(4, 8), cell=2)),
    "listener": Case(
        models.Listener(layers=1, width=8, heads=2), lambda options: options.classifier(3)
    ),
    "listener-lstm": Case(
        models.Listener("lstm", layers=1, width=8), lambda options: options.transcriber(3)
    ),
    "video": Case(models.VideoNet(widths=(4, 6))),
    "video-attention": Case(
        models.VideoNet("attention", widths=(4, 6), layers=1, width=8, heads=2)
    ),
    "clip": Case(
        models.Clip(4, models.NamedCnn(widths=(4, 6), dense=(5,)), models.Bert(**TEXT)), text
    ),
    "generator": Case(GAN, lambda options: options.build((8, 8, 1), 3)[0]),
    "discriminator": Case(GAN, lambda options: options.build((8, 8, 1), 3)[1]),
    "autoencoder": Case(CODER, coder),
    "autoencoder-convolutional": Case(replace(CODER, name="convolutional"), coder),
    "vqvae": Case(models.Vqvae(5, 3, widths=(4, 6)), lambda options: options.build((8, 8, 1))),
    "rnn": Case(models.Rnn(cell="lstm", layers=2, width=4)),
    "rnn-tokens": Case(
        models.Rnn(cell="gru", width=4, embedding=3, bidirectional=True, output="mean"),
        lambda options: options.build(5, vocab_size=11),
    ),
    "bert": Case(models.Bert(**TEXT), lambda options: options.masked(**SIZES)),
    "bert-2019": Case(PUBLISHED, lambda options: options.classifier(3, **SIZES, special=SPECIAL)),
    "bert-tagger": Case(models.Bert(**TEXT), lambda options: options.tagger(3, **SIZES)),
    "gpt": Case(GPT, text),
    "gpt-2": Case(replace(GPT, norm="layer", biases=True, positions="learned"), text),
    "llama": Case(
        replace(
            GPT,
            activation="swiglu",
            kv_heads=2,
            tied=False,
            expansion=2.67,
            window=3,
            global_tokens=1,
        ),
        text,
    ),
    "gpt-experts": Case(replace(GPT, experts=4, capacity=1.0), text),
    "gpt-stack": Case(replace(GPT, experts=2, activation="swiglu", scan=True), text),
    "seq2seq": Case(models.Seq2Seq("lstm", layers=2, width=16), translation),
    "transformer": Case(models.Transformer(**TEXT), translation),
    "transformer-copy": Case(models.Transformer(**TEXT, copy=True), translation),
    "matrix": Case(models.Recommender(width=4), rating),
    "two-tower": Case(models.Recommender("two_tower", width=4), rating),
    "skip-gram": Case(models.SkipGram(width=3), lambda options: options.build(5)),
}
DEEP = {
    "resnet-18": Case(models.ResNet(18, width=4, padding="symmetric")),
    "resnet-50": Case(models.ResNet(50, width=4)),
    "bert-stack": Case(models.Bert(**TEXT, scan=True), lambda options: options.masked(**SIZES)),
    "vit-stack": Case(replace(VIT, pooling="token", scan=True)),
    "transformer-stack": Case(models.Transformer(**TEXT, scan=True), translation),
}
