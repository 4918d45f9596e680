"""Recordings as a network reads them, by what a run knows of its recordings."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float32

from bigmodel.data.sequences.reading import numbers
from bigmodel.data.sounds.spectrum import HOP, frames_of, log_mel
from bigmodel.data.sounds.waves import Samples, read_wave, resampled
from bigmodel.experiment import Assets, InputError
from bigmodel.predictor import Kind

SOUNDS = "sounds.json"
SILENT = 1e-4
"""The largest sample of a recording in which there is nothing to hear."""

LOUDEST = 2.0
"""The largest sample that may be of a recording from -1 to 1, beyond which filters go a little."""

Spectrum = Float32[np.ndarray, "frame band"]


class SoundReader(NamedTuple):
    """What a run knows of its recordings.

    ``names`` are the classes, or the letters of transcripts; ``rate`` is in samples a second,
    ``time`` the number of frames of the longest one; ``mean`` and ``deviation`` are those of each
    band over the training part.
    """

    names: tuple[str, ...]
    rate: int
    time: int
    mean: tuple[float, ...]
    deviation: tuple[float, ...]

    @property
    def kind(self) -> Kind:
        """What an input is."""
        return "sound"

    @property
    def inputs(self) -> str:
        """What an input is, in a line."""
        return (
            f"sound files of up to {self.time * HOP:.1f} s, or lists of samples from -1 to 1, "
            f"{self.rate} a second"
        )

    def encode(self, inputs: Sequence[Any]) -> dict[str, np.ndarray]:
        """``spectrum`` float32 ``[batch, time, band]``, and ``length`` int32 ``[batch]``, frames.

        An input is the path of a file, the content of one, or samples. Files of another rate are
        resampled, and channels become one.

        Raises:
            InputError: An input is none of these, is silent, or longer than those of training.
        """
        spectra = [log_mel(self.samples(each), rate=self.rate, bands=self.bands) for each in inputs]
        return self.padded(spectra)

    @property
    def bands(self) -> int:
        """How many bands of pitch there are."""
        return len(self.mean)

    def padded(self, spectra: Sequence[Spectrum]) -> dict[str, np.ndarray]:
        """Standardised spectra, with zeros after the end of each, and their lengths."""
        spectrum = np.zeros((len(spectra), self.time, self.bands), np.float32)
        mean, deviation = (np.array(each, np.float32) for each in (self.mean, self.deviation))
        for row, values in zip(spectrum, spectra, strict=True):
            row[: len(values)] = (values - mean) / deviation
        return {"spectrum": spectrum, "length": np.array([len(s) for s in spectra], np.int32)}

    def samples(self, each: Any) -> Samples:
        """The samples of an input, at the reader's rate."""
        if isinstance(each, str | Path | bytes):
            wave = read_wave(each)
            samples = resampled(wave.samples, wave.rate, self.rate)
        else:
            samples = numbers(each).astype(np.float32)
            if samples.ndim != 1 or not len(samples):
                raise InputError("it is no list of samples")
            if abs(loudest := samples[np.argmax(np.abs(samples))]) > LOUDEST:
                raise InputError(
                    f"it has a sample of {loudest:.6g}, and samples are from -1 to 1; divide those "
                    "of 16 bits by 32768"
                )
        self.check(samples)
        return samples

    def check(self, samples: Samples) -> None:
        """Raises InputError for samples that are silent, or longer than those of training."""
        check_heard(samples)
        if (frames := frames_of(len(samples), self.rate)) > self.time:
            raise InputError(
                f"it lasts {frames * HOP:.2f} s, and the recordings of the run lasted up to "
                f"{self.time * HOP:.2f} s; cut it"
            )

    def dump(self) -> dict[str, bytes]:
        """The files of a run from which :func:`sound_reader` makes this."""
        return {SOUNDS: json.dumps(self._asdict(), indent=1).encode()}


def check_heard(samples: Samples) -> None:
    """Raises InputError for samples in which there is nothing to hear."""
    if np.abs(samples).max() < SILENT:
        raise InputError("it is silent; check how it was recorded")


def sound_reader(assets: Assets) -> SoundReader:
    """The reader that a run has kept in its files."""
    kept = json.loads(assets[SOUNDS])
    lists = {name: tuple(kept[name]) for name in ("names", "mean", "deviation")}
    return SoundReader(**{**kept, **lists})
