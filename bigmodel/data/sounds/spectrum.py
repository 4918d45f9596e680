"""Log-mel spectra: how loud a sound is in each band of pitch, over time."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from jaxtyping import Float, Float32

WINDOW, HOP = 0.025, 0.010
"""Seconds that a frame spans, and seconds from a frame to the next."""
LOWEST = 20.0
"""Hertz of the lowest band's lower edge."""
FLOOR = 1e-10
"""Power below which there is silence."""


def log_mel(
    samples: Float[np.ndarray, " sample"], *, rate: int, bands: int
) -> Float32[np.ndarray, "frame {bands}"]:
    """The logarithm to base 10 of the power in each band of the mel scale.

    Frames are centred at multiples of the hop, with zeros beyond the ends; the window is Hann's,
    and bands are triangles of area 1 in hertz between equal steps in mels, ``2595 log10(1 + f /
    700)`` (O'Shaughnessy, 1987). A sound of n samples has ``1 + n // hop`` frames.

    Args:
        samples: in [-1, 1].
        rate: samples a second.
        bands: how many, up to half of the rate.
    """
    size, hop = round(WINDOW * rate), round(HOP * rate)
    padded = np.pad(np.asarray(samples, np.float64), (size // 2, size))
    count = 1 + len(samples) // hop
    frames = np.lib.stride_tricks.sliding_window_view(padded, size)[: count * hop : hop]
    window = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(size) / size)
    power = np.square(np.abs(np.fft.rfft(frames * window, axis=1)))
    return np.log10(np.maximum(power @ filters(rate, size, bands), FLOOR)).astype(np.float32)


def frames_of(count: int, rate: int) -> int:
    """How many frames a sound of so many samples has."""
    return 1 + count // round(HOP * rate)


@lru_cache(maxsize=4)
def filters(rate: int, size: int, bands: int) -> Float[np.ndarray, "frequency band"]:
    """The weight of each frequency of a window in each band."""
    frequency = np.fft.rfftfreq(size, 1 / rate)
    edges = hertz(np.linspace(mels(LOWEST), mels(rate / 2), bands + 2))
    low, middle, high = edges[:-2], edges[1:-1], edges[2:]
    rising = (frequency[:, None] - low) / (middle - low)
    falling = (high - frequency[:, None]) / (high - middle)
    return np.maximum(0, np.minimum(rising, falling)) * (2 / (high - low))


def mels(frequency: float) -> float:
    """Hertz to mels."""
    return float(2595 * np.log10(1 + frequency / 700))


def hertz(mel: Float[np.ndarray, " edge"]) -> Float[np.ndarray, " edge"]:
    """Mels to hertz."""
    return 700 * (10 ** (mel / 2595) - 1)
