"""Utterances of digits by many voices, as melodies of tones."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

import numpy as np

from bigmodel.data.sounds.waves import Samples

WORDS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")
TONES = 48
"""Voices of melodies."""
PITCHES = (220.0, 262.0, 311.0, 370.0, 440.0)
"""Hertz of the tones of a melody, before a voice raises or lowers them."""


class Utterance(NamedTuple):
    """A recording, what is said in it, by which voice, and what messages call it."""

    samples: Samples
    text: str
    voice: str
    where: str = "a recording"


def sung(voice: int, digits: Iterable[int], rate: int, random: np.random.Generator) -> Utterance:
    """Digits as melodies: each a pair of tones, with a pause between them.

    A voice has a pitch, overtones and a tempo of its own. There is noise.
    """
    of_voice = np.random.default_rng([voice, 77])
    # Less than half of the step from one tone to the next, so that each is told from the others.
    pitch = of_voice.uniform(0.94, 1.06)
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
    return Utterance(samples.astype(np.float32), words_of(digits), f"tones {voice}")


def digits_of(number: int, *, voices: int, longest: int, seed: int) -> list[int]:
    """The digits of an utterance: 1 to ``longest`` random ones, or the next one for all voices."""
    if longest == 1:
        return [number // voices % 10]
    random = np.random.default_rng([seed, number, 2])
    return random.integers(10, size=random.integers(1, longest + 1)).tolist()


def words_of(digits: Iterable[int]) -> str:
    """Digits in words."""
    return " ".join(WORDS[digit] for digit in digits)


def melodies(*, count: int, longest: int, rate: int, seed: int) -> list[Utterance]:
    """So many utterances of 1 to ``longest`` digits as melodies, each voice in its turn.

    Args:
        count: how many.
        longest: most digits in one.
        rate: samples a second.
        seed: decides all of it.
    """
    found = []
    for number in range(count):
        digits = digits_of(number, voices=TONES, longest=longest, seed=seed)
        random = np.random.default_rng([seed, number])
        found.append(sung(number % TONES, digits, rate, random))
    return found
