"""How many are found at which price: curves of true over false positive rates."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Float

from bigmodel.figures.canvas import label, panel
from bigmodel.figures.intervals import COLORS

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def draw_roc(
    curves: Mapping[str, tuple[Float[np.ndarray, " point"], Float[np.ndarray, " point"]]],
    *,
    least: float,
) -> Figure:
    """Draws curves of false and true positive rates by name, over both axes in decades.

    The dashed line is a guess. Rates below ``least`` are left out.
    """
    figure, axes = panel(6.4, 4.6, x="false positive rate", y="true positive rate")
    axes.plot([least, 1], [least, 1], color="black", ls="--", lw=1)
    lines = []
    for (false, true), color in zip(curves.values(), COLORS, strict=False):
        lines += axes.plot(false, true, color=color, drawstyle="steps-post", lw=1.6)
    axes.set_xscale("log")
    axes.set_yscale("log")
    axes.set_xlim(least, 1)
    axes.set_ylim(least, 1.05)
    axes.grid(color="gray", alpha=0.25)
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(lines, [label(name) for name in curves], frameon=False, loc="lower right")
    return figure
