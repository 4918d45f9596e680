"""The networks in PyTorch, as its tutorials write them: channels first, fused attention."""

from __future__ import annotations

from typing import Any

import torch
from batches import CLASSES
from torch import Tensor, nn
from torch.nn import functional


def linear(inputs: int, outputs: int) -> Any:
    """A product without a bias."""
    return nn.Linear(inputs, outputs, bias=False)


def sinusoidal(positions: Tensor, width: int) -> Tensor:
    """Sines and cosines of positions."""
    frequencies = 10_000.0 ** (-torch.arange(0, width, 2) / width)
    angles = positions[:, None] * frequencies
    return torch.stack([angles.sin(), angles.cos()], dim=-1).flatten(1)


class SquaredReLU(nn.Module):
    """``relu(x)^2``."""

    def forward(self, x: Tensor) -> Tensor:
        """Each number by itself."""
        return functional.relu(x).square()


class Attention(nn.Module):
    """Multi-head attention without biases; rotary for a context, where there is one."""

    def __init__(self, width: int, heads: int, context: int = 0) -> None:
        super().__init__()
        self.heads = heads
        self.query, self.key = linear(width, width), linear(width, width)
        self.value, self.output = linear(width, width), linear(width, width)
        self.rotary = bool(context)
        size = width // heads
        angles = torch.arange(context)[:, None] * 10_000.0 ** (-torch.arange(0, size, 2) / size)
        self.register_buffer("cos", angles.cos())
        self.register_buffer("sin", angles.sin())

    def rotated(self, x: Tensor) -> Tensor:
        """Queries or keys, turned by their positions."""
        first, second = x.chunk(2, dim=-1)
        turned = first * self.cos - second * self.sin, second * self.cos + first * self.sin
        return torch.cat(turned, dim=-1)

    def forward(
        self, x: Tensor, source: Tensor, mask: Tensor | None = None, causal: bool = False
    ) -> Tensor:
        """From each position of ``x`` to the source."""
        query, key, value = (
            y.unflatten(-1, (self.heads, -1)).transpose(1, 2)
            for y in (self.query(x), self.key(source), self.value(source))
        )
        if self.rotary:
            query, key = self.rotated(query), self.rotated(key)
        mixed = functional.scaled_dot_product_attention(query, key, value, mask, is_causal=causal)
        return self.output(mixed.transpose(1, 2).flatten(2))


class Block(nn.Module):
    """A pre-norm block, with attention to a source where it is a decoder's."""

    def __init__(
        self,
        width: int,
        heads: int,
        context: int = 0,
        norm: Any = nn.LayerNorm,
        activation: Any = None,
        decoder: bool = False,
    ) -> None:
        super().__init__()
        self.norm, self.norm_feed_forward = norm(width, eps=1e-6), norm(width, eps=1e-6)
        self.attention = Attention(width, heads, context)
        self.norm_cross: Any = norm(width, eps=1e-6) if decoder else None
        self.cross: Any = Attention(width, heads) if decoder else None
        activation = activation or nn.GELU(approximate="tanh")
        self.feed_forward = nn.Sequential(
            linear(width, 4 * width), activation, linear(4 * width, width)
        )

    def forward(
        self,
        x: Tensor,
        mask: Tensor | None = None,
        causal: bool = False,
        source: Tensor | None = None,
    ) -> Tensor:
        """The block's output."""
        normed = self.norm(x)
        x = x + self.attention(normed, normed, mask, causal)
        if self.cross is not None:
            x = x + self.cross(self.norm_cross(x), source)
        return x + self.feed_forward(self.norm_feed_forward(x))


def perceptron(row: dict[str, Any]) -> Any:
    """A multilayer perceptron."""
    layers: list[Any] = []
    inputs = 784
    for width in row["widths"]:
        layers += [nn.Linear(inputs, width), nn.ReLU()]
        inputs = width
    return nn.Sequential(*layers, nn.Linear(inputs, CLASSES))


def conv_network(row: dict[str, Any]) -> Any:
    """A convolution and pooling for each width, and a hidden dense layer."""
    layers: list[Any] = []
    inputs = 1
    for width in row["widths"]:
        layers += [nn.Conv2d(inputs, width, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2)]
        inputs = width
    dense = [nn.Flatten(), nn.Linear(49 * inputs, 128), nn.ReLU(), nn.Linear(128, CLASSES)]
    return nn.Sequential(*layers, *dense)


class ResidualBlock(nn.Module):
    """Two convolutions, and a shortcut."""

    def __init__(self, inputs: int, width: int, stride: int) -> None:
        super().__init__()
        self.branch = nn.Sequential(
            nn.Conv2d(inputs, width, 3, stride, padding=1, bias=False),
            nn.BatchNorm2d(width),
            nn.ReLU(),
            nn.Conv2d(width, width, 3, padding=1, bias=False),
            nn.BatchNorm2d(width),
        )
        across = nn.Conv2d(inputs, width, 1, stride, bias=False)
        self.shortcut = (
            nn.Sequential(across, nn.BatchNorm2d(width)) if stride > 1 else nn.Identity()
        )

    def forward(self, x: Tensor) -> Tensor:
        """The block's output."""
        return functional.relu(self.shortcut(x) + self.branch(x))


def residual(row: dict[str, Any]) -> Any:
    """A residual network for small images."""
    layers: list[Any] = [
        nn.Conv2d(1, 16, 3, padding=1, bias=False), nn.BatchNorm2d(16), nn.ReLU(),
    ]  # fmt: skip
    inputs = 16
    for stage in range(3):
        for block in range((row["depth"] - 2) // 6):
            width = 16 << stage
            layers.append(ResidualBlock(inputs, width, 2 if stage and not block else 1))
            inputs = width
    pooled = [nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(inputs, CLASSES)]
    return nn.Sequential(*layers, *pooled)


class Recurrent(nn.Module):
    """A recurrent layer, and a dense one on its last output."""

    def __init__(self, row: dict[str, Any]) -> None:
        super().__init__()
        cell = {"lstm": nn.LSTM, "gru": nn.GRU}[row["cell"]]
        self.layer = cell(28, row["width"], batch_first=True)
        # A second bias, which would have the gradient of the first.
        nn.init.zeros_(self.layer.bias_hh_l0).requires_grad_(False)
        self.head = nn.Linear(row["width"], CLASSES)

    def forward(self, x: Tensor) -> Tensor:
        """Logits."""
        return self.head(self.layer(x)[0][:, -1])


class Gpt(nn.Module):
    """A decoder with rotary positions and the embedding as its last layer."""

    def __init__(self, row: dict[str, Any]) -> None:
        super().__init__()
        self.embedding = nn.Embedding(row["vocab"], row["width"])
        nn.init.normal_(self.embedding.weight, std=0.02)
        sizes = row["width"], row["heads"], row["context"]
        self.blocks = nn.ModuleList(Block(*sizes, nn.RMSNorm) for _ in range(row["layers"]))
        self.norm = nn.RMSNorm(row["width"], eps=1e-6)

    def forward(self, tokens: Tensor) -> Tensor:
        """Logits of the next tokens."""
        x = self.embedding(tokens)
        for block in self.blocks:
            x = block(x, causal=True)
        return self.norm(x) @ self.embedding.weight.T


class Bert(nn.Module):
    """An encoder that fills in the tokens at chosen positions."""

    def __init__(self, row: dict[str, Any]) -> None:
        super().__init__()
        width, self.vocab = row["width"], row["vocab"]
        self.embedding = nn.Embedding(self.vocab + 2, width)
        self.positions = nn.Embedding(row["context"] + 1, width)
        self.blocks = nn.ModuleList(Block(width, row["heads"]) for _ in range(row["layers"]))
        self.norms = nn.ModuleList(nn.LayerNorm(width, eps=1e-6) for _ in range(3))
        self.transform, self.bias = nn.Linear(width, width), nn.Parameter(torch.zeros(self.vocab))

    def forward(self, tokens: Tensor, length: Tensor, chosen: Tensor) -> Tensor:
        """Logits of the chosen tokens."""
        tokens = functional.pad(tokens, (1, 0), value=self.vocab + 1)
        positions = torch.arange(tokens.shape[1])
        x = self.norms[0](self.embedding(tokens) + self.positions(positions))
        mask = (positions <= length[:, None])[:, None, None]
        for block in self.blocks:
            x = block(x, mask)
        index = (chosen + 1)[..., None].expand(-1, -1, x.shape[-1])
        x = self.transform(self.norms[1](x).gather(1, index))
        x = self.norms[2](functional.gelu(x, approximate="tanh"))
        return x @ self.embedding.weight[: self.vocab].T + self.bias


class Vit(nn.Module):
    """A transformer over the patches of an image."""

    def __init__(self, row: dict[str, Any]) -> None:
        super().__init__()
        width, patch = row["width"], row["patch"]
        self.patches = nn.Conv2d(1, width, patch, patch)
        self.position = nn.Parameter(0.02 * torch.randn((28 // patch) ** 2, width))
        self.blocks = nn.ModuleList(Block(width, row["heads"]) for _ in range(row["layers"]))
        self.norm, self.head = nn.LayerNorm(width, eps=1e-6), nn.Linear(width, CLASSES)

    def forward(self, image: Tensor) -> Tensor:
        """Logits."""
        x = self.patches(image).flatten(2).transpose(1, 2) + self.position
        for block in self.blocks:
            x = block(x)
        return self.head(self.norm(x).mean(dim=1))


class Translation(nn.Module):
    """An encoder, and a decoder that attends to it."""

    def __init__(self, row: dict[str, Any]) -> None:
        super().__init__()
        width, heads, count = row["width"], row["heads"], row["layers"]
        self.source = nn.Embedding(row["vocab"], width)
        self.target = nn.Embedding(row["vocab"], width)

        def blocks(decoder: bool) -> Any:
            each = (
                Block(width, heads, activation=SquaredReLU(), decoder=decoder) for _ in range(count)
            )
            return nn.ModuleList(each)

        self.encoder, self.decoder = blocks(False), blocks(True)
        self.norms = nn.ModuleList(nn.LayerNorm(width, eps=1e-6) for _ in range(2))
        self.head = linear(width, row["vocab"])
        self.register_buffer("positions", sinusoidal(torch.arange(row["context"]), width))

    def forward(self, source: Tensor, length: Tensor, target: Tensor) -> Tensor:
        """Logits of the next tokens of the target."""
        x = self.source(source) + self.positions
        mask = (torch.arange(source.shape[1]) < length[:, None])[:, None, None]
        for block in self.encoder:
            x = block(x, mask)
        encoded = self.norms[0](x)
        x = self.target(target) + self.positions
        for block in self.decoder:
            x = block(x, causal=True, source=encoded)
        return self.head(self.norms[1](x))
