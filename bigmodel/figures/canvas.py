"""Figures without a screen: as pixels, as PNG, or as SVG for a page of HTML."""

from __future__ import annotations

import io
import re
import warnings
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


def blank(width: float, height: float) -> Figure:
    """An empty figure; its size is in inches."""
    # Imported here because it is slow, and a run without figures does not need it.
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), dpi=110, layout="constrained")
    FigureCanvasAgg(figure)
    return figure


def panel(width: float, height: float, *, x: str, y: str) -> tuple[Figure, Axes]:
    """A figure with a pair of axes, whose labels say their units; its size is in inches."""
    figure = blank(width, height)
    axes = figure.add_subplot()
    axes.set_xlabel(label(x))
    axes.set_ylabel(label(y))
    axes.ticklabel_format(useOffset=False)
    return figure, axes


def pixels(figure: Figure) -> np.ndarray:
    """The figure as uint8 ``[height, width, 3]``."""
    with without_glyph_warnings():
        figure.canvas.draw()
    return np.array(figure.canvas.buffer_rgba())[..., :3]  # type: ignore[attr-defined]


def png(figure: Figure) -> bytes:
    """The figure as a PNG file."""
    buffer = io.BytesIO()
    with without_glyph_warnings():
        figure.savefig(buffer, format="png", metadata={"Software": None})
    return buffer.getvalue()


def picture(figure: Figure) -> str:
    """The figure as an SVG element for a page of HTML.

    It has no background, and black becomes the text color of the page, so that it suits light
    and dark pages. The same figure gives the same characters.
    """
    import matplotlib

    buffer = io.StringIO()
    with matplotlib.rc_context({"svg.fonttype": "none", "svg.hashsalt": "bigmodel"}):
        nothing = dict.fromkeys(("Date", "Creator", "Format", "Type"))
        with without_glyph_warnings():
            figure.savefig(buffer, format="svg", transparent=True, metadata=nothing)
    text = buffer.getvalue()
    text = text[text.index("<svg") :]
    text = re.sub(r"<metadata>.*?</metadata>", "", text, flags=re.DOTALL)
    # Names of groups would stand in a page more than once; those of shapes are hashes of them.
    text = re.sub(r'<g id="[^"]*"', "<g", text)
    text = re.sub(r' (width|height)="[\d.]+pt"', "", text, count=2)
    text = text.replace("stroke: #000000", "stroke: currentColor")
    return text.replace("<svg ", '<svg fill="currentColor" role="img" ', 1).strip()


def without_glyph_warnings() -> warnings.catch_warnings[None]:
    """Silences the warning about a character that the font lacks; it is drawn as a box."""
    return warnings.catch_warnings(action="ignore", category=UserWarning)


def label(text: str, *, length: int = 48) -> str:
    """Any text, such as the name of a class, made safe for a figure.

    It becomes one line of at most ``length`` characters, all of them printable. Dollar signs are
    escaped, because Matplotlib parses what stands between two of them as mathematics, and fails
    on what is none.
    """
    line = "".join(c if c.isprintable() else "\ufffd" for c in " ".join(text.split()))
    if len(line) > length:
        half = length // 2 - 1
        line = f"{line[:half]} … {line[-half:]}"
    return line.replace("$", r"\$")
