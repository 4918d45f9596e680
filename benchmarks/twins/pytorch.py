"""PyTorch: its own Adam and clipped norm, eager or with ``torch.compile`` of the networks."""

from __future__ import annotations

import math
import sys
from collections.abc import Callable
from typing import Any

import torch
import torch_images as images
import torch_networks as networks
from batches import batch
from resident import Step, serve
from torch import Tensor, nn
from torch.nn import functional

NETWORKS: dict[str, Callable[[dict[str, Any]], Any]] = {
    "mlp": networks.perceptron,
    "cnn": networks.conv_network,
    "resnet": networks.residual,
    "rnn": networks.Recurrent,
    "gpt": networks.Gpt,
    "bert": networks.Bert,
    "vit": networks.Vit,
    "translation": networks.Translation,
    "vae": images.Vae,
    "unet": images.Unet,
}
READ = {
    "features": ("features",),
    "sequence": ("sequence",),
    "image": ("image",),
    "chosen": ("tokens", "length", "chosen"),
    "source": ("source", "source_length", "target_in"),
    "tokens": ("tokens",),
}
"""What a network reads, by an array that is in the batch; the first that there is."""


def cross_entropy(network: Any, given: dict[str, Tensor]) -> Tensor:
    """Nats of the row's targets, smoothed where they are translations."""
    read = next(READ[name] for name in READ if name in given)
    logits = network(*(given[name] for name in read))
    targets = next(given[name] for name in ("targets", "target_out", "label") if name in given)
    smoothing = 0.1 if "target_out" in given else 0.0
    return functional.cross_entropy(
        logits.flatten(0, -2), targets.flatten(), label_smoothing=smoothing
    )


def negative_elbo(network: Any, given: dict[str, Tensor]) -> Tensor:
    """Nats per image."""
    image = given["image"]
    logits, mean, log_variance = network(image)
    nats = functional.binary_cross_entropy_with_logits(logits, image, reduction="sum") / len(image)
    divergence = log_variance.exp() + mean.square() - 1 - log_variance
    return nats + divergence.sum(dim=1).mean() / 2


def denoising(network: Any, given: dict[str, Tensor]) -> Tensor:
    """The squared error of the noise, at random times."""
    image = 2 * given["image"] - 1
    time, noise = torch.rand(len(image)), torch.randn_like(image)
    angle = (time * math.pi / 2)[:, None, None, None]
    return functional.mse_loss(network(angle.cos() * image + angle.sin() * noise, time), noise)


def updating(network: Any) -> Callable[[Tensor], None]:
    """What makes one update of a network from a loss."""
    trained = [p for p in network.parameters() if p.requires_grad]
    optimizer = torch.optim.Adam(trained, lr=1e-3)

    def update(loss: Tensor) -> None:
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(trained, 1.0)
        optimizer.step()

    return update


def adversarial(generator: Any, discriminator: Any, latents: int) -> Callable[[Any], None]:
    """The step of a generator and a discriminator."""
    updates = updating(generator), updating(discriminator)

    def step(given: dict[str, Tensor]) -> None:
        image = given["image"]
        fake = generator(torch.randn(len(image), latents))
        told_apart = functional.softplus(-discriminator(image)) + functional.softplus(
            discriminator(fake.detach())
        )
        updates[1](told_apart.mean())
        # Without the gradients of its parameters, which nobody reads here.
        discriminator.requires_grad_(False)
        updates[0](functional.softplus(-discriminator(fake)).mean())
        discriminator.requires_grad_(True)

    return step


def build(row: dict[str, Any], *, compiled: bool) -> Step:
    """The step of a row."""
    torch.manual_seed(0)
    given = {name: torch.from_numpy(array.copy()) for name, array in batch(row).items()}
    given = {name: x.long() if x.dtype == torch.int32 else x for name, x in given.items()}
    if "image" in given:
        given["image"] = given["image"].movedim(-1, 1).contiguous()
    kind = row["kind"]
    made = (
        [images.generator(row), images.Discriminator(row)]
        if kind == "gan"
        else [NETWORKS[kind](row)]
    )
    count = sum(p.numel() for each in made for p in each.parameters() if p.requires_grad)
    used = [torch.compile(each) if compiled else each for each in made]
    if kind == "gan":
        step = adversarial(used[0], used[1], row["latents"])
    else:
        loss = {"vae": negative_elbo, "unet": denoising}.get(kind, cross_entropy)
        update = updating(used[0])

        def step(given: dict[str, Tensor]) -> None:
            update(loss(used[0], given))

    def run(steps: int) -> None:
        for _ in range(steps):
            step(given)

    return Step(run, count)


if __name__ == "__main__":
    serve(lambda row: build(row, compiled=sys.argv[1:] == ["compile"]))
