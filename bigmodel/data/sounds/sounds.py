"""Recordings with a class, or with what is said in them, as batches."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, NamedTuple

import numpy as np

from bigmodel.data.labelled import LabelledData
from bigmodel.data.parts import data_of
from bigmodel.data.sounds.espeak import recited
from bigmodel.data.sounds.reading import SoundReader, check_heard, sound_reader
from bigmodel.data.sounds.spectrum import frames_of, log_mel
from bigmodel.data.sounds.utterances import Utterance, melodies
from bigmodel.data.sounds.waves import read_wave, resampled
from bigmodel.data.split import check_positive, split_rows
from bigmodel.data.texts.text_file import normalized, read_lines
from bigmodel.experiment import Assets, Data, InputError
from bigmodel.output import note

Parts = Mapping[str, list[Utterance]]


@dataclass(frozen=True)
class SoundData(LabelledData):
    """Which recordings, and how their voices are divided."""

    name: Literal["tones", "espeak", "files"] = "tones"
    """tones: digits as melodies, bundled; espeak: digits as espeak-ng says them in 72 voices, all
    synthetic; files: your own"""
    path: str = ""
    """files: a file of lines FILE<tab>TEXT, perhaps <tab>VOICE: no voice is in two parts"""
    rate: int = 8000
    """samples a second that recordings are brought to"""
    bands: int = 40
    """bands of pitch of a spectrum"""
    seconds: float = 10.0
    """files: longest recording; a longer one is refused"""
    digits: int = 1
    """tones and espeak: most digits in a recording"""
    recordings: int = 1440
    """tones and espeak: recordings in all parts"""
    cache: str = ""
    """espeak: folder that keeps what it has said; by default one in the user's cache"""
    batch_size: int = 32
    """recordings in a batch"""

    def __post_init__(self) -> None:
        """Raises InputError where an option is out of range."""
        super().__post_init__()
        check_positive(self, "rate", "bands", "digits", "recordings", "batch_size")
        if self.rate < 4000:
            raise InputError(f"--data.rate {self.rate} is too low for voices; use 4000 or more")
        if self.bands > self.rate // 100:
            raise InputError(f"--data.bands {self.bands} are too many; use {self.rate // 100}")
        if not 0 < self.seconds < 3600:
            raise InputError(f"--data.seconds {self.seconds} must be above 0 and below 3600")
        if self.name == "files" and not self.path:
            raise InputError("--data.name files needs --data.path, lines FILE<tab>TEXT")
        if self.name != "files" and (self.path or self.test_path):
            raise InputError("--data.path is for --data.name files; leave it out")


class Sounds(NamedTuple):
    """Batches of recordings, and what encodes them."""

    data: Data
    reader: SoundReader


def load_sounds(options: SoundData, assets: Assets | None = None) -> Sounds:
    """Recordings with a class each, divided by voice and made into batches.

    Batches have the arrays of :meth:`~bigmodel.data.sounds.reading.SoundReader.encode`, ``label``
    int32 ``[batch]``, and ``weight`` float32 ``[batch]``. The splits are ``validation`` and
    ``test``, each absent where its fraction is 0.

    Args:
        options: Which recordings.
        assets: Files of a trained run: all recordings are then the split ``test`` for it.

    Raises:
        InputError: A file cannot be read, an option is out of range, or a trained run does not
            know a class.
    """
    parts = _parts(options, assets)
    if assets is None:
        names = tuple(sorted({each.text for some in parts.values() for each in some}))
        if len(names) < 2:
            raise InputError(f"all recordings are of the class {names[0]!r}; two are the fewest")
        reader = _fitted(names, parts, options)
    else:
        reader = sound_reader(assets)
    number = {name: index for index, name in enumerate(reader.names)}
    labels = {}
    for part, some in parts.items():
        if unknown := {each.text for each in some} - set(number):
            raise InputError(
                f"{options.path or options.name} has the class {min(unknown)!r}, which the run "
                "has not: it was never trained on"
            )
        labels[part] = {"label": np.array([number[each.text] for each in some], np.int32)}
    return _sounds(options, parts, reader, labels, whole=assets is not None)


def load_speech(options: SoundData, assets: Assets | None = None) -> Sounds:
    """Recordings with what is said in them, divided by voice and made into batches.

    Batches have the arrays of :meth:`~bigmodel.data.sounds.reading.SoundReader.encode`, ``letters``
    int32 ``[batch, most]``, numbers of the reader's names from 1 on and 0 after the end, and
    ``weight`` float32 ``[batch]``.

    Args:
        options: Which recordings.
        assets: Files of a trained run: all recordings are then the split ``test`` for it.

    Raises:
        InputError: A file cannot be read, an option is out of range, a recording is too short for
            its transcript, or a trained run does not know a letter.
    """
    parts = _parts(options, assets)
    if assets is None:
        names = tuple(
            sorted({letter for some in parts.values() for each in some for letter in each.text})
        )
        reader = _fitted(names, parts, options)
    else:
        reader = sound_reader(assets)
    number = {name: index for index, name in enumerate(reader.names, start=1)}
    most = max(len(each.text) for some in parts.values() for each in some)
    letters = {}
    for part, some in parts.items():
        rows = np.zeros((len(some), most), np.int32)
        for row, each in zip(rows, some, strict=True):
            if unknown := [letter for letter in each.text if letter not in number]:
                raise InputError(
                    f"the transcript {each.text[:40]!r} has the letter {unknown[0]!r}, which the "
                    f"run has not: it knows {''.join(reader.names)!r}"
                )
            repeated = sum(a == b for a, b in zip(each.text, each.text[1:], strict=False))
            frames = -(-frames_of(len(each.samples), reader.rate) // 2)
            if len(each.text) + repeated > frames:
                raise InputError(
                    f"the transcript {each.text[:40]!r} has {len(each.text)} letters, too many for "
                    f"{len(each.samples) / reader.rate:.2f} s; check which recording it is of"
                )
            row[: len(each.text)] = [number[letter] for letter in each.text]
        letters[part] = {"letters": rows}
    return _sounds(options, parts, reader, letters, whole=assets is not None)


def _parts(options: SoundData, assets: Assets | None) -> Parts:
    """The recordings of each part, at one rate."""
    if assets is not None:
        rate = sound_reader(assets).rate
        found = _read(options, options.path, rate)
        return {"train": found, "test": found}
    found = _read(options, options.path, options.rate)
    voices = sorted({each.voice for each in found})
    if len(voices) < 3:
        raise InputError(f"there are {len(voices)} voice(s), and three are the fewest to divide")
    given = {}
    if options.test_path:
        given = {"test": _read(options, options.test_path, options.rate)}
    split = split_rows(options, len(voices), given=given)
    part_of = {voices[row]: part for part, rows in split.items() for row in rows}
    parts: dict[str, list[Utterance]] = {part: [] for part in split}
    for each in found:
        parts[part_of[each.voice]].append(each)
    return {part: some for part, some in {**parts, **given}.items() if some}


def _read(options: SoundData, path: str, rate: int) -> list[Utterance]:
    if options.name != "files":
        said = {"count": options.recordings, "longest": options.digits, "rate": rate}
        said["seed"] = options.split_seed
        return melodies(**said) if options.name == "tones" else recited(**said, cache=options.cache)
    found: list[Utterance] = []
    told = {"resampled": "", "mixed": ""}
    counts = dict.fromkeys(told, 0)
    for number, line in enumerate(read_lines(Path(path)), start=1):
        if not line.strip():
            continue
        file, tab, rest = line.partition("\t")
        text, _, voice = (normalized(field) for field in rest.partition("\t"))
        if not tab or not text:
            raise InputError(f"{path}, line {number} is not FILE<tab>TEXT")
        recording = Path(path).parent / file.strip()
        where = f"{path}, line {number}: {recording}"
        try:
            wave = read_wave(recording)
            check_heard(wave.samples)
        except InputError as error:
            raise InputError(f"{where} {error}") from None
        seconds = len(wave.samples) / wave.rate
        if seconds > options.seconds:
            raise InputError(f"{where} lasts {seconds:.1f} s; cut it, or give more --data.seconds")
        changed = {"resampled": wave.rate != rate, "mixed": wave.channels > 1}
        for what, is_so in changed.items():
            if is_so:
                counts[what] += 1
                told[what] = told[what] or f"{recording} ({wave.rate} Hz, {wave.channels} channels)"
        samples = resampled(wave.samples, wave.rate, rate)
        found.append(Utterance(samples, text, voice or f"line {number}"))
    if not found:
        raise InputError(f"{path} has no recordings")
    into = {"resampled": f"resampled to {rate} Hz", "mixed": "mixed to one channel"}
    for what, count in counts.items():
        if count:
            note(f"{path}: {count} recordings are {into[what]}, such as {told[what]}")
    return found


def _fitted(names: tuple[str, ...], parts: Parts, options: SoundData) -> SoundReader:
    """The reader of some parts, standardised by the training one."""
    rate = options.rate
    spectra = [log_mel(each.samples, rate=rate, bands=options.bands) for each in parts["train"]]
    frames = np.concatenate(spectra).astype(np.float64)
    time = max(frames_of(len(each.samples), rate) for some in parts.values() for each in some)
    deviation = np.maximum(frames.std(axis=0), 1e-3)
    return SoundReader(
        names, rate, time, tuple(frames.mean(axis=0).tolist()), tuple(deviation.tolist())
    )


def _sounds(
    options: SoundData,
    parts: Parts,
    reader: SoundReader,
    targets: Mapping[str, dict[str, np.ndarray]],
    *,
    whole: bool,
) -> Sounds:
    arrays = {
        part: {**_encoded(some, reader, options), **targets[part]} for part, some in parts.items()
    }
    size = min(options.batch_size, len(parts["test"])) if whole else options.batch_size
    names = "\n".join(reader.names).encode()
    data = data_of(arrays, size, deciding={"names": names}, assets=reader.dump())
    inputs: dict[str, Sequence[np.ndarray]] = {
        part: [each.samples for each in parts[part]] for part in data.splits
    }
    return Sounds(data._replace(inputs=inputs), reader)


def _encoded(
    some: Sequence[Utterance], reader: SoundReader, options: SoundData
) -> dict[str, np.ndarray]:
    try:
        return reader.encode([each.samples for each in some])
    except InputError as error:
        raise InputError(
            f"a recording of {options.path or options.name} cannot be used: {error}"
        ) from None
