"""Digits as espeak-ng says them, in many voices, all of which are synthetic."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
from jaxtyping import Int16

from bigmodel.data.prepared.cache import prepared
from bigmodel.data.prepared.progress import Progress
from bigmodel.data.sounds.utterances import Utterance, digits_of, words_of
from bigmodel.data.sounds.waves import read_wave, resampled
from bigmodel.experiment import InputError

ESPEAK = "espeak-ng"
LANGUAGES = ("en-us", "en-gb", "en-gb-scotland", "en-gb-x-rp", "en-029", "en-us-nyc")
VARIANTS = ("m1", "m2", "m3", "m4", "m5", "m6", "m7", "f1", "f2", "f3", "f4", "f5")
ACCENTS = tuple(f"{language}+{variant}" for language in LANGUAGES for variant in VARIANTS)
VERSION = 1
SAMPLES, ENDS = "samples.npy", "ends.npy"
LOUDEST = 32767
BYTES = 30_000
"""Of a recording, about."""


def recited(*, count: int, longest: int, rate: int, seed: int, cache: str) -> list[Utterance]:
    """So many utterances of 1 to ``longest`` digits, each voice in its turn, with some noise.

    espeak-ng is a process for each, so what it says is kept in the cache, before the noise.

    Args:
        count: how many.
        longest: most digits in one.
        rate: samples a second.
        seed: decides all of it.
        cache: ``--data.cache``.

    Raises:
        InputError: espeak-ng is not installed, or cannot say it.
        StorageError: the cache cannot be written.
    """
    voices = len(ACCENTS)
    said = [digits_of(each, voices=voices, longest=longest, seed=seed) for each in range(count)]

    def spoken(number: int) -> np.ndarray:
        return _spoken(number, said[number], rate, seed)

    def make(folder: Path) -> None:
        # Other programs, which do not hold this one's lock.
        with (
            ThreadPoolExecutor(os.cpu_count()) as pool,
            Progress(f"{ESPEAK} speaks", count * BYTES) as progress,
        ):
            samples = []
            for each in pool.map(spoken, range(count)):
                samples.append(each)
                progress.add(BYTES)
        np.save(folder / SAMPLES, np.concatenate(samples))
        np.save(folder / ENDS, np.cumsum([len(each) for each in samples]))

    key = {"version": VERSION, "espeak": _version(), "accents": ACCENTS, "seed": seed}
    key |= {"count": count, "longest": longest, "rate": rate}
    folder = prepared("espeak", json.loads(json.dumps(key)), make, cache=cache)
    parts = np.split(np.load(folder / SAMPLES), np.load(folder / ENDS)[:-1])
    found = []
    for number, part in enumerate(parts):
        random = np.random.default_rng([seed, number, 1])
        noise = random.normal(0, random.uniform(0.0005, 0.01), len(part))
        samples = (part / LOUDEST + noise).astype(np.float32)
        found.append(Utterance(samples, words_of(said[number]), ACCENTS[number % len(ACCENTS)]))
    return found


def _version() -> str:
    if shutil.which(ESPEAK) is None:
        raise InputError(
            f"{ESPEAK} is not installed; apt install {ESPEAK}, or use --data.name tones"
        )
    return _run([ESPEAK, "--version"]).decode(errors="replace").partition("Data at")[0].strip()


def _run(command: list[str]) -> bytes:
    done = subprocess.run(command, capture_output=True, check=False)
    if done.returncode or not done.stdout:
        raise InputError(f"{' '.join(command)} failed: {done.stderr.decode(errors='replace')[:80]}")
    return done.stdout


def _spoken(number: int, digits: list[int], rate: int, seed: int) -> Int16[np.ndarray, " sample"]:
    """Digits as a voice says them, at a speed and a pitch that the seed and the number draw."""
    random = np.random.default_rng([seed, number, 0])
    speed, pitch = random.integers(120, 200), random.integers(30, 70)
    accent = ACCENTS[number % len(ACCENTS)]
    command = [ESPEAK, "-v", accent, "-s", str(speed), "-p", str(pitch), "--stdout"]
    wave = read_wave(_run([*command, words_of(digits)]))
    samples = np.clip(resampled(wave.samples, wave.rate, rate), -1, 1)
    return np.rint(samples * LOUDEST).astype(np.int16)
