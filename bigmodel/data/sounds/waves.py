"""Files of sound as samples of one channel at one rate."""

from __future__ import annotations

import io
import warnings
from math import gcd
from pathlib import Path
from typing import NamedTuple

import numpy as np
from jaxtyping import Float32

from bigmodel.experiment import InputError

Samples = Float32[np.ndarray, " sample"]
RATES = range(1000, 400_000)
RIFF = b"RIFF"


class Wave(NamedTuple):
    """Samples in [-1, 1], their rate in hertz, and how many channels they were mixed from."""

    samples: Samples
    rate: int
    channels: int


def read_wave(source: str | Path | bytes) -> Wave:
    """A file of sound, or its content.

    WAV is read by itself; FLAC, OGG and others need the package soundfile.

    Raises:
        InputError: It cannot be read, or is empty.
    """
    try:
        content = source if isinstance(source, bytes) else Path(source).read_bytes()
    except (OSError, ValueError) as error:
        raise InputError(f"cannot be read: {getattr(error, 'strerror', None) or error}") from None
    if not content:
        raise InputError("is empty")
    rate, samples = (_wav if content.startswith(RIFF) else _other)(content)
    if rate not in RATES:
        raise InputError(f"has {rate} samples a second, which is no rate of sound")
    if samples.dtype.kind == "u":
        samples = (samples.astype(np.float32) - 128) / 128
    elif samples.dtype.kind == "i":
        samples = samples.astype(np.float32) / np.float32(-np.iinfo(samples.dtype).min)
    if not samples.size:
        raise InputError("has no samples")
    by_channel = samples.astype(np.float32).reshape(len(samples), -1)
    if not np.isfinite(by_channel).all():
        raise InputError("has samples that are no finite numbers")
    return Wave(by_channel.mean(axis=1), rate, by_channel.shape[1])


def _wav(content: bytes) -> tuple[int, np.ndarray]:
    from scipy.io import wavfile

    if _declared_end(content) > len(content):
        raise InputError("is cut: it has fewer samples than its head says")
    try:
        with warnings.catch_warnings():
            # Of the sizes that programs write which do not know them yet, and of other chunks.
            warnings.simplefilter("ignore", wavfile.WavFileWarning)
            return wavfile.read(io.BytesIO(content))
    except Exception as error:
        raise InputError(f"cannot be read as WAV: {str(error)[:80]}") from None


def _declared_end(content: bytes) -> int:
    """Where the samples of a WAV end by its head; 0 where a program wrote to a pipe."""
    at = len(b"RIFFsizeWAVE")
    while at + 8 <= len(content):
        size = int.from_bytes(content[at + 4 : at + 8], "little")
        if content[at : at + 4] == b"data":
            return 0 if size >= 0x7FFFF000 else at + 8 + size
        # Other chunks, which may tell of data too, and are filled up to an even size.
        at += 8 + size + size % 2
    raise InputError("is cut, or no WAV: there are no samples in it")


def _other(content: bytes) -> tuple[int, np.ndarray]:
    try:
        import soundfile
    except ImportError:
        raise InputError("is no WAV; pip install -e '.[sound]' brings what reads others") from None
    try:
        with soundfile.SoundFile(io.BytesIO(content)) as file:
            samples = file.read(dtype="float32", always_2d=True)
            if 0 < file.frames != len(samples):
                raise InputError("is cut: it has fewer samples than its head says")
            return file.samplerate, samples
    except (RuntimeError, OSError, ValueError, TypeError) as error:
        if isinstance(error, InputError):
            raise
        # What libsndfile says, without the object that it was read from.
        reason = getattr(error, "error_string", None) or error
        raise InputError(f"cannot be read as sound: {str(reason)[:80]}") from None


def resampled(samples: Samples, rate: int, to: int) -> Samples:
    """Samples at another rate, by a polyphase filter that removes what it cannot hold."""
    if rate == to:
        return samples
    from scipy.signal import resample_poly

    common = gcd(rate, to)
    return resample_poly(samples, to // common, rate // common).astype(np.float32)
