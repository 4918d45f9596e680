"""Utterances of digits by many voices: melodies of tones, or what espeak-ng says."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

import numpy as np

from bigmodel.data.sounds.waves import Samples, read_wave, resampled
from bigmodel.experiment import InputError

WORDS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")
ESPEAK = "espeak-ng"
LANGUAGES = ("en-us", "en-gb", "en-gb-scotland", "en-gb-x-rp", "en-029", "en-us-nyc")
VARIANTS = ("m1", "m2", "m3", "m4", "m5", "m6", "m7", "f1", "f2", "f3", "f4", "f5")
ACCENTS = tuple(f"{language}+{variant}" for language in LANGUAGES for variant in VARIANTS)
TONES = 48
"""Voices of melodies."""
PITCHES = (220.0, 262.0, 311.0, 370.0, 440.0)
"""Hertz of the tones of a melody, before a voice raises or lowers them."""


class Utterance(NamedTuple):
    """A recording, what is said in it, and by which voice."""

    samples: Samples
    text: str
    voice: str


def sung(voice: int, digits: Iterable[int], rate: int, random: np.random.Generator) -> Utterance:
    """Digits as melodies: each a pair of tones, with a pause between them.

    A voice has a pitch, overtones and a tempo of its own. There is noise.
    """
    of_voice = np.random.default_rng([voice, 77])
    pitch = of_voice.uniform(0.8, 1.25)
    overtones = of_voice.uniform(0, 1, 5) / np.arange(1, 6)
    tempo = of_voice.uniform(0.75, 1.3)

    def silence(seconds: float) -> np.ndarray:
        return np.zeros(int(rate * seconds * tempo))

    def tone(frequency: float) -> np.ndarray:
        time = np.arange(int(rate * 0.11 * tempo * random.uniform(0.85, 1.15))) / rate
        swell = np.sqrt(np.abs(np.sin(np.pi * np.arange(len(time)) / max(1, len(time) - 1))))
        waves = sum(
            size * np.sin(2 * np.pi * frequency * (n + 1) * time)
            for n, size in enumerate(overtones)
        )
        return swell * waves / overtones.sum()

    parts = [silence(random.uniform(0.03, 0.2))]
    for digit in digits:
        first, second = divmod(digit, 2)
        for number in (first, (first + 1 + 2 * second) % 5):
            parts.append(tone(pitch * PITCHES[number] * random.uniform(0.985, 1.015)))
        parts.append(silence(random.uniform(0.05, 0.12)))
    samples = 0.3 * np.concatenate(parts)
    samples = samples + random.normal(0, random.uniform(0.002, 0.03), len(samples))
    return Utterance(
        samples.astype(np.float32), " ".join(WORDS[d] for d in digits), f"tones {voice}"
    )


def spoken(accent: str, digits: Iterable[int], rate: int, random: np.random.Generator) -> Utterance:
    """Digits as espeak-ng says them, at a speed and a pitch that the random stream draws.

    Raises:
        InputError: espeak-ng is not installed, or cannot say it.
    """
    text = " ".join(WORDS[digit] for digit in digits)
    speed, pitch = random.integers(120, 200), random.integers(30, 70)
    command = [ESPEAK, "-v", accent, "-s", str(speed), "-p", str(pitch), "--stdout", text]
    if shutil.which(ESPEAK) is None:
        raise InputError(
            f"{ESPEAK} is not installed; apt install {ESPEAK}, or use --data.name tones"
        )
    done = subprocess.run(command, capture_output=True, check=False)
    if done.returncode or not done.stdout:
        raise InputError(f"{' '.join(command)} failed: {done.stderr.decode(errors='replace')[:80]}")
    wave = read_wave(done.stdout)
    samples = resampled(wave.samples, wave.rate, rate)
    noise = random.normal(0, random.uniform(0.0005, 0.01), len(samples))
    return Utterance((samples + noise).astype(np.float32), text, accent)


def utterances(
    source: str, *, count: int, longest: int, rate: int, seed: int
) -> Iterator[Utterance]:
    """So many utterances of 1 to ``longest`` digits, each voice in its turn.

    Args:
        source: ``tones`` or ``espeak``.
        count: how many.
        longest: most digits in one.
        rate: samples a second.
        seed: decides all of it.
    """

    def make(number: int) -> Utterance:
        random = np.random.default_rng([seed, number])
        digits = random.integers(10, size=random.integers(1, longest + 1)).tolist()
        if longest == 1:
            digits = [number // voices % 10]
        if source == "tones":
            return sung(number % TONES, digits, rate, random)
        return spoken(ACCENTS[number % len(ACCENTS)], digits, rate, random)

    voices = TONES if source == "tones" else len(ACCENTS)
    if source == "tones":
        yield from map(make, range(count))
        return
    # Other programs, which do not hold this one's lock.
    with ThreadPoolExecutor() as pool:
        yield from pool.map(make, range(count))
