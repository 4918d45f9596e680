"""Numbers of windows, of a layer's map, and of a transformer's positions as those of units."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np

from bigmodel.experiment import InputError
from bigmodel.inference.explanation.units import Units


def windows(units: Units, window: int | None) -> np.ndarray:
    """Masks ``[windows, units]`` that are 0 in a window; they hide every unit, by half steps.

    Windows are squares of an image or a spectrum, cubes of a clip, spans of steps of a channel, and
    single tokens and columns.
    """
    sides = list(units.shape)
    for axis, size in enumerate(units.shape):
        alone = units.kind in ("text", "row") or (units.kind == "sequence" and axis == 1)
        sides[axis] = 1 if alone else min(size, window or max(1, round(size / 7)))
    starts = [
        sorted({*range(0, size - side, max(1, side // 2)), size - side})
        for size, side in zip(units.shape, sides, strict=True)
    ]
    places = np.stack([axis.ravel() for axis in np.meshgrid(*starts, indexing="ij")], axis=1)
    masks = np.ones((len(places), *units.shape), np.float32)
    for mask, place in zip(masks, places, strict=True):
        mask[tuple(slice(at, at + side) for at, side in zip(place, sides, strict=True))] = 0
    return masks.reshape(len(places), -1)


def spread_map(found: np.ndarray, units: Units, read: tuple[int, ...]) -> np.ndarray:
    """A map of a layer at the resolution of the units, by linear interpolation.

    It is ``[1, ...]``, of a clip ``[frame, row, column]``.
    """
    own = found if units.kind == "frames" else found[0]
    size = read[1 : 1 + own.ndim]
    grown = np.asarray(jax.image.resize(jnp.asarray(own), size, "linear"), np.float64)
    if units.kind in ("image", "frames"):
        return grown
    grown = grown[: units.shape[0]]
    return grown if len(units.shape) == 1 else np.repeat(grown[:, None], units.shape[1], axis=1)


def spread_positions(found: np.ndarray, units: Units) -> np.ndarray:
    """Numbers of a transformer's positions as those of the units: of tokens, or of patches' pixels.

    A position that stands before them is of no unit. Moments of a sound, and frames, share theirs
    among all that is in them.
    """
    if units.kind == "sound":
        span = -(-units.of.shape[1] // len(found))
        found = np.repeat(found, span)[: units.shape[0]] / span
    if units.kind in ("sound", "frames"):
        inner = units.shape[1:]
        share = np.asarray(found, np.float64) / np.prod(inner)
        return np.broadcast_to(share.reshape(-1, *(1 for _ in inner)), units.shape)
    if units.kind == "text":
        time = units.of.shape[1]
        return np.asarray(found[len(found) - time :][: units.shape[0]], np.float64)
    height, width = units.shape
    for size in range(min(units.shape), 0, -1):
        rows, columns = height // size, width // size
        if rows * columns in (len(found), len(found) - 1):
            patches = np.asarray(found[-rows * columns :], np.float64).reshape(rows, columns)
            return np.kron(patches, np.full((size, size), 1 / size**2))
    raise InputError(f"the {len(found)} positions of its attention are no patches of the image")
