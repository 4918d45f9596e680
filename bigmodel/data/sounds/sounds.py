"""Recordings with a class, or with what is said in them, as batches."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, NamedTuple

import numpy as np

from bigmodel.data.labelled import LabelledData
from bigmodel.data.parts import data_of
from bigmodel.data.sounds.espeak import recited
from bigmodel.data.sounds.reading import SoundReader, Spectrum, check_heard, sound_reader
from bigmodel.data.sounds.spectrum import HOP, frames_of, log_mel
from bigmodel.data.sounds.utterances import Utterance, melodies
from bigmodel.data.sounds.waves import RATES, read_wave, resampled
from bigmodel.data.split import check_memory, check_positive, split_rows
from bigmodel.data.texts.text_file import lines_of_files, normalized
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
        if self.rate not in RATES:
            raise InputError(f"--data.rate {self.rate} is no rate of sound; 16000 is usual")
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
    parts, known = _parts(options, assets)
    names = known.names if known else _names(parts, "classes", lambda text: [text])
    if len(names) < 2:
        raise InputError(f"all recordings are of the class {names[0]!r}; two are the fewest")
    number = {name: index for index, name in enumerate(names)}
    labels = {}
    for part, some in parts.items():
        for each in some:
            if each.text not in number:
                raise InputError(
                    f"{each.where} has the class {each.text!r}, which the run has not: it was "
                    "never trained on"
                )
        labels[part] = {"label": np.array([number[each.text] for each in some], np.int32)}
    return _sounds(options, parts, names, known, labels)


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
    parts, known = _parts(options, assets)
    names = known.names if known else _names(parts, "letters", set)
    rate = known.rate if known else options.rate
    number = {name: index for index, name in enumerate(names, start=1)}
    most = max(len(each.text) for some in parts.values() for each in some)
    letters = {}
    for part, some in parts.items():
        rows = np.zeros((len(some), most), np.int32)
        for row, each in zip(rows, some, strict=True):
            if unknown := [letter for letter in each.text if letter not in number]:
                raise InputError(
                    f"{each.where}: the transcript {each.text[:40]!r} has the letter "
                    f"{unknown[0]!r}, which the run has not: it knows {''.join(names)!r}"
                )
            repeated = sum(a == b for a, b in zip(each.text, each.text[1:], strict=False))
            frames = -(-frames_of(len(each.samples), rate) // 2)
            if len(each.text) + repeated > frames:
                raise InputError(
                    f"{each.where}: the transcript {each.text[:40]!r} has {len(each.text)} "
                    f"letters, too many for {len(each.samples) / rate:.2f} s; check which "
                    "recording it is of"
                )
            row[: len(each.text)] = [number[letter] for letter in each.text]
        letters[part] = {"letters": rows}
    return _sounds(options, parts, names, known, letters)


def _names(parts: Parts, what: str, of: Callable[[str], Iterable[str]]) -> tuple[str, ...]:
    """What texts are made of, with a word on what no text of the training part has."""
    heard = {
        part: {name for each in some for name in of(each.text)} for part, some in parts.items()
    }
    names = tuple(sorted(set().union(*heard.values())))
    if unheard := [name for name in names if name not in heard["train"]]:
        note(
            f"no recording to train on has {len(unheard)} of the {what}, such as {unheard[0]!r}: "
            "nothing is learned of them"
        )
    return names


def _parts(options: SoundData, assets: Assets | None) -> tuple[Parts, SoundReader | None]:
    """The recordings of each part, at one rate, and the reader of a trained run."""
    if assets is not None:
        known = sound_reader(assets)
        return {"test": _read(options, options.path, known)}, known
    found = _read(options, options.path)
    voices = sorted({each.voice for each in found})
    if len(voices) < 3:
        raise InputError(f"there are {len(voices)} voice(s), and three are the fewest to divide")
    given = {}
    if options.test_path:
        given = {"test": _read(options, options.test_path)}
        if shared := {each.voice for each in given["test"]} & {*voices}:
            note(
                f"{options.test_path} has {len(shared)} voice(s) that are in {options.path} too, "
                f"such as {min(shared)!r}: they are heard in training"
            )
    split = split_rows(options, len(voices), given=given)
    part_of = {voices[row]: part for part, rows in split.items() for row in rows}
    parts: dict[str, list[Utterance]] = {part: [] for part in split}
    for each in found:
        parts[part_of[each.voice]].append(each)
    return {part: some for part, some in {**parts, **given}.items() if some}, None


def _read(options: SoundData, path: str, known: SoundReader | None = None) -> list[Utterance]:
    """Recordings at the rate of a trained run, or of the options; a file is a voice by default."""
    rate = options.rate if known is None else known.rate
    if options.name != "files":
        return _made(options, rate, known)
    found: list[Utterance] = []
    told = {"resampled": "", "mixed": ""}
    counts = dict.fromkeys(told, 0)
    for where, recording, fields in lines_of_files(Path(path), "FILE<tab>TEXT"):
        text, _, voice = (normalized(field) for field in fields.partition("\t"))
        try:
            wave = read_wave(recording)
            if (seconds := len(wave.samples) / wave.rate) > options.seconds:
                raise InputError(f"it lasts {seconds:.1f} s; cut it, or give more --data.seconds")
            samples = resampled(wave.samples, wave.rate, rate)
            (check_heard if known is None else known.check)(samples)
        except InputError as error:
            raise InputError(f"{where}: {error}") from None
        changed = {"resampled": wave.rate != rate, "mixed": wave.channels > 1}
        for what, is_so in changed.items():
            if is_so:
                counts[what] += 1
                told[what] = told[what] or f"{recording} ({wave.rate} Hz, {wave.channels} channels)"
        found.append(Utterance(samples, text, voice or str(recording), where))
    into = {"resampled": f"resampled to {rate} Hz", "mixed": "mixed to one channel"}
    for what, count in counts.items():
        if count:
            note(f"{path}: {count} recordings are {into[what]}, such as {told[what]}")
    return found


def _made(options: SoundData, rate: int, known: SoundReader | None) -> list[Utterance]:
    """Digits as melodies, or as espeak-ng says them."""
    count, longest, name = options.recordings, options.digits, options.name
    # Half of a second for each digit, at the least.
    check_memory(f"{count} recordings of {longest} digits", (count, longest, rate // 2, 4))
    how = {"count": count, "longest": longest, "rate": rate, "seed": options.split_seed}
    made = melodies(**how) if name == "tones" else recited(**how, cache=options.cache)
    for number, each in enumerate(made):
        if known is not None:
            try:
                known.check(each.samples)
            except InputError as error:
                raise InputError(f"--data.name {name}, recording {number}: {error}") from None
    return made


def _sounds(
    options: SoundData,
    parts: Parts,
    names: tuple[str, ...],
    known: SoundReader | None,
    targets: Mapping[str, dict[str, np.ndarray]],
) -> Sounds:
    """Recordings with their targets as batches, read as a trained run reads them, if any."""
    rate, bands = (options.rate, options.bands) if known is None else (known.rate, known.bands)
    spectra = {
        part: [log_mel(each.samples, rate=rate, bands=bands) for each in some]
        for part, some in parts.items()
    }
    reader = known or _fitted(names, rate, spectra)
    count = sum(map(len, parts.values()))
    check_memory(
        f"{count} recordings of up to {reader.time * HOP:.1f} s", (count, reader.time, bands, 4)
    )
    arrays = {part: {**reader.padded(some), **targets[part]} for part, some in spectra.items()}
    size = options.batch_size
    if known:
        arrays["train"] = arrays["test"]
        size = min(size, count)
    deciding = {"names": "\n".join(names).encode()}
    data = data_of(arrays, size, deciding=deciding, assets=reader.dump())
    inputs: dict[str, Sequence[np.ndarray]] = {
        part: [each.samples for each in parts[part]] for part in data.splits
    }
    return Sounds(data._replace(inputs=inputs), reader)


def _fitted(
    names: tuple[str, ...], rate: int, spectra: Mapping[str, Sequence[Spectrum]]
) -> SoundReader:
    """The reader of some parts, standardised by the training one."""
    frames = np.concatenate(spectra["train"]).astype(np.float64)
    mean, deviation = frames.mean(axis=0), np.maximum(frames.std(axis=0), 1e-3)
    time = max(len(each) for some in spectra.values() for each in some)
    return SoundReader(names, rate, time, tuple(mean.tolist()), tuple(deviation.tolist()))
