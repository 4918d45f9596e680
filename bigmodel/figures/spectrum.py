"""The spectrum of a sound, and what is said when."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float, UInt8

from bigmodel.figures.canvas import blank, label, pixels

LIKELY = 0.3
"""The probability from which on a letter is written over a moment."""


def draw_alignment(
    spectrum: Float[np.ndarray, "frame band"],
    probability: Float[np.ndarray, "moment letter"],
    letters: Sequence[str],
    *,
    said: str,
    seconds: float,
) -> UInt8[np.ndarray, "height width 3"]:
    """Draws a spectrum, and the probability of letters over the same time.

    Args:
        spectrum: how loud each band is.
        probability: of no letter and of each.
        letters: their names, that of none first.
        said: the transcript.
        seconds: how long it lasts.
    """
    figure = blank(9.0, 4.4)
    above, below = figure.subplots(2, 1, sharex=True)
    above.imshow(
        spectrum.T,
        origin="lower",
        aspect="auto",
        cmap="magma",
        extent=(0, seconds, 0, spectrum.shape[1]),
    )
    above.set(ylabel="band of pitch", title=label(said, length=80))
    time = (np.arange(len(probability)) + 0.5) * seconds / len(probability)
    for number in range(1, probability.shape[1]):
        of = probability[:, number]
        if of.max() < LIKELY:
            continue
        (line,) = below.plot(time, of, lw=1.2)
        for at in np.flatnonzero(of >= LIKELY):
            neighbours = of[max(0, at - 1) : at + 2]
            if of[at] == neighbours.max():
                name = "␣" if letters[number] == " " else letters[number]
                below.text(
                    time[at],
                    of[at] + 0.03,
                    label(name),
                    ha="center",
                    fontsize=9,
                    color=line.get_color(),
                )
    below.set(xlabel="seconds", ylabel="probability of a letter", ylim=(0, 1.15), xlim=(0, seconds))
    return pixels(figure)
