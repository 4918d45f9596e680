"""Numbers above and below zero as red and blue: over an image, behind a text, along a line."""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from jaxtyping import Float

from bigmodel.figures.canvas import blank, label, panel

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

FOR, AGAINST = (0.84, 0.10, 0.11), (0.10, 0.34, 0.80)
"""Red, of numbers above zero, and blue, of those below."""
MOST = 40
"""Bars of a figure; more would be unreadable."""
ACROSS = 88
"""Characters in a line of text."""
WIDE = 2
"""Width by height from which on an image is wide."""


def limit(values: Float[np.ndarray, "..."]) -> float:
    """The size of a number that has the full color: a few of a thousand are larger."""
    return float(np.quantile(np.abs(values), 0.998)) or float(np.abs(values).max()) or 1.0


def tint(value: float, most: float) -> tuple[float, float, float, float]:
    """Red or blue, and how opaque it is, for a number of which the largest ones are ``most``."""
    share = min(1.0, abs(value) / most)
    return (*(FOR if value >= 0 else AGAINST), share)


def _colors(*, signed: bool) -> Any:
    from matplotlib.colors import LinearSegmentedColormap

    nothing = (1.0, 1.0, 1.0, 0.0)
    below = [(*AGAINST, 0.85)] if signed else []
    return LinearSegmentedColormap.from_list("signed", [*below, nothing, (*FOR, 0.85)])


def draw_over_image(
    image: Float[np.ndarray, "height width channel"],
    values: Float[np.ndarray, "height width"],
    *,
    value: str,
    signed: bool,
) -> Figure:
    """Draws an image, and beside it the numbers of its pixels over a pale grey copy of it.

    The copy of a wide image, such as a spectrum, is below it, and both are as high as they can be.

    Args:
        image: values from 0 to 1, of one channel or three.
        values: a number for each pixel.
        value: says what they are.
        signed: whether some may be below zero.
    """
    height, width = values.shape
    if width > WIDE * height:
        figure = blank(8.0, 4.4)
        left, right = figure.subplots(2, 1)
    else:
        across = min(3.4, max(1.6, 2.8 * width / height))
        figure = blank(2 * across + 1.1, min(6.0, across * height / width + 0.4))
        left, right = figure.subplots(1, 2)
    grey = image.mean(axis=2)
    shown = np.clip(image if image.shape[2] == 3 else np.repeat(image[..., :1], 3, axis=2), 0, 1)
    left.imshow(shown, interpolation="nearest")
    right.imshow(0.72 + 0.28 * np.clip(grey, 0, 1), cmap="gray", vmin=0, vmax=1)
    most = limit(values)
    drawn = right.imshow(
        values,
        cmap=_colors(signed=signed),
        vmin=-most if signed else 0,
        vmax=most,
        interpolation="nearest",
    )
    for axes in (left, right):
        axes.set_axis_off()
        axes.set_aspect("auto" if width > WIDE * height else "equal")
    figure.colorbar(drawn, ax=right, label=label(value), shrink=0.9)
    return figure


def draw_text(
    pieces: Sequence[str], values: Float[np.ndarray, " piece"], *, value: str, signed: bool
) -> Figure:
    """Draws the pieces of a text with their numbers behind them."""
    from matplotlib.patches import Rectangle

    placed = list(_placed(pieces))
    lines = placed[-1][1] + 1 if placed else 1
    figure = blank(9.0, 0.9 + 0.25 * lines)
    axes = figure.add_subplot()
    axes.set_xlim(0, ACROSS)
    axes.set_ylim(lines, 0)
    axes.set_axis_off()
    most = limit(values)
    for column, line, text, number in placed:
        box = (column, line + 0.04), _cells(text), 0.92
        axes.add_patch(Rectangle(*box, color=_faded(values[number], most), linewidth=0))
        # So large that a character is as wide as its place.
        style: dict[str, Any] = {"family": "monospace", "fontsize": 12.0, "va": "center"}
        before = len(text) - len(text.lstrip())
        axes.text(column + before, line + 0.5, label(text, length=ACROSS), **style)
    _bar(figure, axes, most, value, signed=signed)
    return figure


def _faded(value: float, most: float) -> tuple[float, float, float, float]:
    red, green, blue, share = tint(value, most)
    return red, green, blue, 0.85 * share


def _placed(pieces: Sequence[str]) -> Any:
    """Column and line of each piece, its text, and its number; long ones are divided."""
    column = line = 0
    for number, piece in enumerate(pieces):
        shown = piece.replace("\n", "\N{DOWNWARDS ARROW WITH CORNER LEFTWARDS}").replace("\t", " ")
        if column and column + _cells(shown) > ACROSS:
            column, line = 0, line + 1
        for start in range(0, len(shown), ACROSS):
            part = shown[start : start + ACROSS]
            if start:
                column, line = 0, line + 1
            yield column, line, part, number
            column += _cells(part)
        if piece.endswith("\n"):
            column, line = 0, line + 1


def _cells(text: str) -> int:
    """The width of a text in characters of one width."""
    wide = sum(unicodedata.east_asian_width(character) in "WF" for character in text)
    return len(text) + wide


def _bar(figure: Figure, axes: Axes, most: float, value: str, *, signed: bool) -> None:
    from matplotlib.cm import ScalarMappable
    from matplotlib.colors import Normalize

    drawn = ScalarMappable(Normalize(-most if signed else 0, most), _colors(signed=signed))
    figure.colorbar(
        drawn, ax=axes, label=label(value), orientation="horizontal", aspect=50, shrink=0.5
    )


def draw_bars(names: Sequence[str], values: Float[np.ndarray, " name"], *, value: str) -> Figure:
    """Draws a bar for each name, the largest first; of more than ``MOST`` the others are one."""
    order = np.argsort(-np.abs(values), kind="stable")
    shown, others = order[:MOST], order[MOST:]
    texts = [label(names[index], length=44) for index in shown]
    lengths = [float(values[index]) for index in shown]
    if len(others):
        texts.append(f"{len(others)} others, added up")
        lengths.append(float(values[others].sum()))
    figure, axes = panel(8.0, 1.0 + 0.26 * len(texts), x=value, y="")
    colors = [FOR if length >= 0 else AGAINST for length in lengths]
    axes.barh(range(len(texts)), lengths, color=colors, height=0.72)
    axes.set_yticks(range(len(texts)), texts)
    axes.set_ylim(len(texts) - 0.4, -0.6)
    axes.axvline(0, color="black", linewidth=0.8)
    axes.grid(axis="x", alpha=0.3)
    axes.set_axisbelow(True)
    return figure


def draw_steps(
    series: Float[np.ndarray, "step channel"],
    values: Float[np.ndarray, "step channel"],
    *,
    value: str,
    signed: bool,
) -> Figure:
    """Draws a line whose steps have the color of their numbers; of more channels a row for each."""
    most = limit(values)
    steps, channels = series.shape
    scale: dict[str, Any] = {"cmap": _colors(signed=signed), "vmin": -most if signed else 0}
    if channels > 1:
        figure, axes = panel(9.0, min(9.0, 1.6 + 0.28 * channels), x="step", y="channel")
        box = (0.5, steps + 0.5, channels + 0.5, 0.5)
        shape: dict[str, Any] = {"aspect": "auto", "interpolation": "nearest", "extent": box}
        drawn: Any = axes.imshow(values.T, vmax=most, **shape, **scale)
        if channels <= 2 * MOST:
            axes.set_yticks(range(1, channels + 1, 1 if channels <= 20 else 5))
    else:
        figure, axes = panel(9.0, 3.6, x="step", y="value, as the network reads it")
        places = np.arange(1, steps + 1)
        axes.plot(places, series[:, 0], color="grey", linewidth=0.9, zorder=1)
        drawn = axes.scatter(
            places, series[:, 0], c=values[:, 0], vmax=most, s=34, zorder=2,
            edgecolors="grey", linewidths=0.4, **scale,
        )  # fmt: skip
        axes.grid(alpha=0.3)
    figure.colorbar(drawn, ax=axes, label=label(value))
    return figure
