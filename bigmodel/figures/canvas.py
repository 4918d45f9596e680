"""A drawing as pixels or as a picture that a page takes in, without a screen."""

from __future__ import annotations

import io
import re
import warnings
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def blank(width: float, height: float) -> Figure:
    """An empty drawing of so many inches."""
    # Imported here, for it takes a while that a run without pictures need not spend.
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), dpi=110, layout="constrained")
    FigureCanvasAgg(figure)
    return figure


def pixels(figure: Figure) -> np.ndarray:
    """What was drawn, uint8 ``[height, width, 3]``."""
    with without_glyph_warnings():
        figure.canvas.draw()
    return np.array(figure.canvas.buffer_rgba())[..., :3]  # type: ignore[attr-defined]


def png(figure: Figure) -> bytes:
    """What was drawn, as a PNG file."""
    buffer = io.BytesIO()
    with without_glyph_warnings():
        figure.savefig(buffer, format="png", metadata={"Software": None})
    return buffer.getvalue()


def picture(figure: Figure) -> str:
    """What was drawn, as an SVG element for a page of HTML.

    It has no background, and what is black has the page's color of text, so that it suits light
    and dark pages. The same drawing gives the same characters.
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
    """Keeps quiet that the font lacks a character, which is then drawn as a box."""
    return warnings.catch_warnings(action="ignore", category=UserWarning)


def label(text: str, *, length: int = 48) -> str:
    """A text as it may stand in a drawing: one line, not too long, nothing that is no character."""
    line = "".join(c if c.isprintable() else "\ufffd" for c in " ".join(text.split()))
    half = length // 2 - 1
    return line if len(line) <= length else f"{line[:half]} … {line[-half:]}"
