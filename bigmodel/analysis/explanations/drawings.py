"""An explanation as a figure, and as an element of a page."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np

from bigmodel.analysis.explanations.quality import POINTS, Quality
from bigmodel.figures.canvas import picture, png
from bigmodel.figures.intervals import Band, draw_bands
from bigmodel.figures.signed import (
    draw_bars,
    draw_over_image,
    draw_steps,
    draw_text,
    limit,
    tint,
)
from bigmodel.inference.explanation.explaining import Explanation
from bigmodel.pages.page import Drawing, figure, notes, table, text
from bigmodel.pages.tables import Entry, Table, number

if TYPE_CHECKING:
    from matplotlib.figure import Figure

MEANING = {
    "gradients": "size of the gradient",
    "smoothgrad": "size of the mean gradient",
    "integrated_gradients": "contribution",
    "grad_cam": "weight of the place",
    "rollout": "share of the attention",
    "occlusion": "fall when hidden",
}
DEEPEST = 0.62
"""How opaque the color behind a word is at most, so that it can be read."""


def meaning(found: Explanation) -> str:
    """What the numbers of an explanation are."""
    what = found.output if found.probability is None else f"logit of {found.output!r}"
    kind = MEANING[found.how.method]
    return kind if found.how.method in ("grad_cam", "rollout") else f"{kind}, {what}"


def draw(found: Explanation) -> Figure:
    """The figure of an explanation, by the kind of its input."""
    units, values, value = found.units, found.values, meaning(found)
    match units.kind:
        case "image":
            return draw_over_image(units.shown, values, value=value, signed=found.signed)
        case "text":
            return draw_text(units.names, values, value=value, signed=found.signed)
        case "row":
            return draw_bars(labelled(found), values, value=value)
        case "sound":
            loud = np.asarray(units.shown).T[::-1, :, None]
            loud = (loud - loud.min()) / max(float(np.ptp(loud)), 1e-6)
            return draw_over_image(loud, values.T[::-1], value=value, signed=found.signed)
        case "frames":
            grid = (tiled(np.asarray(each)) for each in (units.shown, values[..., None]))
            image, over = grid
            return draw_over_image(image, over[..., 0], value=value, signed=found.signed)
    steps = (len(values), -1)
    series = np.asarray(units.shown).reshape(steps)
    return draw_steps(series, values.reshape(steps), value=value, signed=found.signed)


def tiled(frames: np.ndarray) -> np.ndarray:
    """Frames ``[frame, row, column, channel]`` row by row in one image, zeros between them."""
    count, height, width, channels = frames.shape
    across = math.ceil(math.sqrt(count * height / width))
    down = -(-count // across)
    padded = np.pad(frames, ((0, across * down - count), (0, 1), (0, 1), (0, 0)))
    grid = padded.reshape(down, across, height + 1, width + 1, channels).swapaxes(1, 2)
    return grid.reshape(down * (height + 1), across * (width + 1), channels)[:-1, :-1]


def labelled(found: Explanation) -> list[str]:
    """The columns of a row with its cells."""
    cells = found.units.shown or [""] * len(found.units.names)
    pairs = zip(found.units.names, cells, strict=True)
    return [f"{name} = {cell}" if cell else name for name, cell in pairs]


def said(found: Explanation) -> str:
    """What is explained, and how, in a line."""
    if found.probability is None:
        line = f"{found.output} {found.score:.5g}"
    else:
        line = f"{found.output!r}, logit {found.score:.4f}, probability {found.probability:.4f}"
    if found.gap is not None and found.difference is not None:
        line += f"; contributions add up to {found.difference - found.gap:.5f} of "
        line += f"{found.difference:.5f}, gap {found.gap:.1e}"
    return line


def section(name: str, found: Explanation, drawn: Figure) -> Iterator[str]:
    """The part of a page about one input."""
    yield f"<h2>{text(name)}</h2><p>{text(said(found))}</p>"
    if found.units.kind == "text":
        yield colored(found)
    else:
        yield figure(Drawing(name, caption(found), b"", picture(drawn)))


def caption(found: Explanation) -> str:
    """What the colors of an explanation are."""
    key = "red speaks for it, blue against it" if found.signed else "the redder, the more"
    places = {
        "sound": " Time runs to the right, pitch upwards.",
        "frames": " Frames follow one another as lines of a text do.",
    }
    return f"{meaning(found)}: {key}.{places.get(found.units.kind, '')}"


def colored(found: Explanation) -> str:
    """A text with a color behind each token."""
    most = limit(found.values)
    spans = []
    for piece, value in zip(found.units.names, found.values, strict=True):
        red, green, blue, share = tint(value, most)
        color = f"rgba({255 * red:.0f}, {255 * green:.0f}, {255 * blue:.0f}, {DEEPEST * share:.3f})"
        spans.append(f'<span style="background: {color}" title="{value:.4g}">{text(piece)}</span>')
    style = "white-space: pre-wrap; overflow-wrap: anywhere; line-height: 1.9; max-width: 60rem"
    return (
        f'<p style="{style}">{"".join(spans)}</p>'
        f"<figure><figcaption>{text(caption(found))}</figcaption></figure>"
    )


def quality_section(quality: Quality) -> tuple[list[str], bytes]:
    """The part of a page about what the explanations are worth, and its curves as PNG."""
    shares = np.linspace(0, 1, POINTS + 1)

    def band(name: str, found: list[np.ndarray]) -> Band:
        pairs = zip(found, quality.curves, strict=True)
        values = [np.interp(shares, each.shares, curve) for curve, each in pairs]
        low, high = np.quantile(values, [0.25, 0.75], axis=0)
        return Band(name, 100 * shares, np.mean(values, axis=0), low, high)

    bands = [
        band("deletion in its order", [each.deletion for each in quality.curves]),
        band("insertion in its order", [each.insertion for each in quality.curves]),
        band("deletion in random orders", [each.random.mean(axis=0) for each in quality.curves]),
    ]
    what = "probability or number that is explained"
    names = "mean of the inputs, and quartiles"
    drawn = draw_bands(
        bands, x="share of the input, %", y=what, names=names, reference=2, linear=True
    )
    deletion, insertion, by_chance = quality.areas()
    fewer, more = quality.better()
    count = len(quality.curves)
    pairs = [
        ("deletion", f"area {deletion:.4f}, at random {by_chance:.4f}; {fewer} of {count} better"),
        ("insertion", f"area {insertion:.4f}, at random {by_chance:.4f}; {more} of {count} better"),
    ]
    order = "Units are taken away, or put in, from the largest number to the smallest."
    likeness = quality.likeness()
    rows = tuple((Entry(name or "all"), number(alike, 3)) for name, alike in likeness.items())
    header = ("weights randomised from the output down to", "rank correlation")
    content = [
        "<h2>What the explanations are worth</h2>",
        notes(pairs),
        figure(Drawing("curves", order, b"", picture(drawn))),
        "<h2>With randomised weights</h2>",
        "<p>A correlation near 1 would say that the explanation does not depend on what was "
        "learned (Adebayo et al., 2018). The last row is of all weights.</p>",
        table(Table(header, frozenset({0}), rows)),
    ]
    return content, png(drawn)
