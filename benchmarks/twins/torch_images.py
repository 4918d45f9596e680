"""The networks that make images, in PyTorch."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import torch
from torch import Tensor, nn
from torch_networks import sinusoidal


def generator(row: dict[str, Any]) -> Any:
    """Latents to images in [0, 1]."""
    fine, coarse = row["widths"]
    return nn.Sequential(
        nn.Linear(row["latents"], 49 * coarse, bias=False),
        nn.Unflatten(1, (coarse, 7, 7)),
        nn.BatchNorm2d(coarse),
        nn.SiLU(),
        nn.ConvTranspose2d(coarse, fine, 4, 2, padding=1, bias=False),
        nn.BatchNorm2d(fine),
        nn.SiLU(),
        nn.ConvTranspose2d(fine, 1, 4, 2, padding=1),
        nn.Sigmoid(),
    )


class Discriminator(nn.Module):
    """Images to the logit that they are real."""

    def __init__(self, row: dict[str, Any]) -> None:
        super().__init__()
        fine, coarse = row["widths"]
        self.layers = nn.Sequential(
            nn.Conv2d(1, fine, 4, 2, padding=1),
            nn.SiLU(),
            nn.Conv2d(fine, coarse, 4, 2, padding=1),
            nn.SiLU(),
            nn.Flatten(),
            nn.Linear(49 * coarse, 1),
        )

    def forward(self, image: Tensor) -> Tensor:
        """A logit for each image."""
        return self.layers(2 * image - 1)[:, 0]


class Vae(nn.Module):
    """A variational autoencoder of dense layers."""

    def __init__(self, row: dict[str, Any]) -> None:
        super().__init__()
        self.latents = row["latents"]

        def dense(*widths: int) -> Any:
            layers: list[Any] = []
            for inputs, outputs in pairwise(widths):
                layers += [nn.Linear(inputs, outputs), nn.SiLU()]
            return nn.Sequential(*layers[:-1])

        self.encoder = dense(784, *row["widths"], 2 * self.latents)
        self.decoder = dense(self.latents, *row["widths"][::-1], 784)

    def forward(self, image: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Logits of pixels, and means and logarithms of variances of the latents."""
        mean, log_variance = self.encoder((2 * image - 1).flatten(1)).chunk(2, dim=1)
        drawn = mean + (log_variance / 2).exp() * torch.randn_like(mean)
        return self.decoder(drawn).view_as(image), mean, log_variance


class ConditionedBlock(nn.Module):
    """A residual block that the time scales and shifts."""

    def __init__(self, inputs: int, width: int, condition: int) -> None:
        super().__init__()
        self.inner = nn.Sequential(
            nn.GroupNorm(8, inputs),
            nn.SiLU(),
            nn.Conv2d(inputs, width, 3, padding=1, bias=False),
            nn.GroupNorm(8, width, affine=False),
        )
        self.condition = nn.Sequential(nn.SiLU(), nn.Linear(condition, 2 * width))
        self.outer = nn.Sequential(nn.SiLU(), nn.Conv2d(width, width, 3, padding=1))
        across = nn.Conv2d(inputs, width, 1, bias=False)
        self.across = across if inputs != width else nn.Identity()

    def forward(self, x: Tensor, condition: Tensor) -> Tensor:
        """Images of the same size."""
        scale, shift = self.condition(condition)[..., None, None].chunk(2, dim=1)
        return self.across(x) + self.outer(self.inner(x) * (1 + scale) + shift)


class Unet(nn.Module):
    """Two grids, with a skip connection at each."""

    def __init__(self, row: dict[str, Any]) -> None:
        super().__init__()
        fine, coarse = row["widths"]
        self.width = 4 * fine

        def block(inputs: int, width: int) -> Any:
            return ConditionedBlock(inputs, width, self.width)

        self.time, self.first = (
            nn.Linear(self.width, self.width),
            nn.Conv2d(1, fine, 3, padding=1),
        )
        self.halve = nn.Conv2d(fine, coarse, 3, 2, padding=1)
        self.enlarge = nn.Sequential(
            nn.Upsample(scale_factor=2), nn.Conv2d(coarse, fine, 3, padding=1)
        )
        self.down = nn.ModuleList([block(fine, fine), block(coarse, coarse)])
        self.middle = block(coarse, coarse)
        self.up = nn.ModuleList([block(2 * coarse, coarse), block(2 * fine, fine)])
        self.last = nn.Sequential(
            nn.GroupNorm(8, fine), nn.SiLU(), nn.Conv2d(fine, 1, 3, padding=1)
        )

    def forward(self, image: Tensor, time: Tensor) -> Tensor:
        """The noise of images."""
        condition = self.time(sinusoidal(1000 * time, self.width))
        upper = self.down[0](self.first(image), condition)
        lower = self.down[1](self.halve(upper), condition)
        x = self.middle(lower, condition)
        x = self.enlarge(self.up[0](torch.cat([x, lower], dim=1), condition))
        return self.last(self.up[1](torch.cat([x, upper], dim=1), condition))
