"""Personal data replaced by its kind, before anything else is done with a text."""

from __future__ import annotations

import copy
import hashlib
import itertools
import json
import re
import unicodedata
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from bigmodel.data.personal.patterns import FINDERS, Kind, Span
from bigmodel.data.texts.text_file import read_lines
from bigmodel.experiment import Assets, InputError
from bigmodel.predictor import Predictor

MASKED = "masked.json"
"""The file of a run that says how many of which kind were replaced; where it is, inputs are too."""
VERSION = 1
"""Of what is found; prepared data of another one is made anew."""
BLANK = r"(?:[^\S\n]+|[^\S\n]*\n[^\S\n]*)"


@dataclass(frozen=True, kw_only=True)
class Personal:
    """Options of data that people have written, or that is about people."""

    mask: bool = False
    """replace e-mail addresses, telephone, card and account numbers (IBAN), IP addresses and
    mask_names by their kind, such as [EMAIL], before texts and cells are used: docs/data.md"""
    mask_names: str = ""
    """mask: a file with a name on each line; found as they are written there, and in capitals"""

    def masking(self) -> Mask:
        """What replaces personal data, as the options say.

        Raises:
            InputError: the file of names cannot be used.
        """
        if not self.mask:
            if self.mask_names:
                raise InputError("--data.mask-names is for --data.mask; give both")
            return Mask(on=False)
        return Mask(read_names(Path(self.mask_names)) if self.mask_names else ())


class Mask:
    """Replaces personal data in texts, and counts by kind how much it has replaced.

    ``key`` is what decides the result, for prepared data: it is too short to tell the names.
    """

    def __init__(self, names: Sequence[str] = (), *, on: bool = True) -> None:
        finders: dict[Kind, Callable[[str], Iterable[Span]]] = dict(FINDERS) if on else {}
        if names:
            pattern = name_pattern(names)
            finders["name"] = lambda text: (found.span() for found in pattern.finditer(text))
        self._finders = finders
        self.counts: Counter[str] = Counter(dict.fromkeys(finders, 0))
        listed = hashlib.sha256("\n".join(sorted(names)).encode()).hexdigest()[:8]
        self.key = [VERSION, listed if names else ""] if on else None

    def again(self) -> Mask:
        """The same, with counts of its own."""
        other = copy.copy(self)
        other.counts = Counter(dict.fromkeys(self.counts, 0))
        return other

    def __call__(self, text: str) -> str:
        """The text with ``[EMAIL]`` and the like; it has as many lines as before."""
        found = [
            (start, rank, end, kind)
            for rank, (kind, find) in enumerate(self._finders.items())
            for start, end in find(text)
        ]
        if not found:
            return text
        pieces, done = [], 0
        for start, end, kind in _apart(sorted(found)):
            lines = "\n" * text.count("\n", start, end)
            pieces += [text[done:start], f"[{kind.upper()}]{lines}"]
            done = end
            self.counts[kind] += 1
        return "".join([*pieces, text[done:]])

    def words(self, words: Sequence[str]) -> tuple[str, ...]:
        """The words of a sentence, each of which is replaced that has a part in what is found."""
        ends = [*itertools.accumulate(len(word) + 1 for word in words)]
        starts = [0, *ends[:-1]]
        masked = list(words)
        found = [
            (start, rank, end, kind)
            for rank, (kind, find) in enumerate(self._finders.items())
            for start, end in find(" ".join(words))
        ]
        for start, end, kind in _apart(sorted(found)):
            self.counts[kind] += 1
            for at, (begins, ends_at) in enumerate(zip(starts, ends, strict=True)):
                if begins < end and start < ends_at - 1:
                    masked[at] = f"[{kind.upper()}]"
        return tuple(masked)

    def array(self, texts: np.ndarray) -> np.ndarray:
        """An array of texts, masked."""
        return np.asarray(list(map(self, texts.tolist())), texts.dtype.type)

    def inside(self, value: Any) -> Any:
        """A value as JSON has them, with each text in it masked; names of fields stay."""
        match value:
            case str():
                return type(value)(self(value))
            case Mapping():
                return {name: self.inside(each) for name, each in value.items()}
            case list() | tuple():
                return type(value)(map(self.inside, value))
        return value

    def with_counts(self, assets: Assets) -> Assets:
        """The files of a run, and one with the counts where something is to be replaced."""
        return {**assets, MASKED: json.dumps(self.counts).encode()} if self._finders else assets


NO_MASK = Mask(on=False)
"""Leaves texts as they are."""


def noted(assets: Assets) -> dict[str, Any]:
    """What the manifest says of it: how many of which kind were replaced in the data of a run."""
    return {"masked": json.loads(assets[MASKED])} if MASKED in assets else {}


def masked_inputs(predictor: Predictor, options: Any, assets: Assets) -> Predictor:
    """A predictor that masks what it is asked, where the data of its run was masked.

    Raises:
        InputError: the file of names is gone.
    """
    if MASKED not in assets:
        return predictor
    mask, encode, stream = options.masking(), predictor.encode, predictor.stream
    return predictor._replace(
        encode=lambda inputs: encode([mask.inside(each) for each in inputs]),
        stream=stream and (lambda variables, each: stream(variables, mask.inside(each))),
    )


def _apart(found: Sequence[tuple[int, int, int, Kind]]) -> Iterator[tuple[int, int, Kind]]:
    """Places that overlap as one, of the kind that comes first."""
    waiting: tuple[int, int, int, Kind] | None = None
    for start, rank, end, kind in found:
        if waiting is not None and start < waiting[2]:
            first = min(waiting[1::2], (rank, kind))
            waiting = (waiting[0], first[0], max(end, waiting[2]), first[1])
            continue
        if waiting is not None:
            yield waiting[0], waiting[2], waiting[3]
        waiting = (start, rank, end, kind)
    if waiting is not None:
        yield waiting[0], waiting[2], waiting[3]


def read_names(path: Path) -> tuple[str, ...]:
    """The names of a file, one a line; blank lines do not count.

    Raises:
        InputError: it cannot be read, or a name, whose line is told, has one character.
    """
    if not path.is_file():
        raise InputError(f"--data.mask-names {path} is no file; give one with a name on each line")
    lines = enumerate(read_lines(path), start=1)
    names = {" ".join(line.split()): number for number, line in lines}
    names.pop("", None)
    if short := [number for name, number in names.items() if len(name) < 2]:
        raise InputError(
            f"--data.mask-names {path}, line {short[0]} is one character, which is everywhere; "
            "write the whole name"
        )
    return tuple(names)


def name_pattern(names: Iterable[str]) -> re.Pattern[str]:
    """Finds names as whole words: as they are written, in capitals, and over the end of a line."""
    forms = {
        " ".join(unicodedata.normalize(form, each).split())
        for name in names
        for each in (name, name.upper())
        for form in ("NFC", "NFD")
    }
    # By their first character, which the engine then finds quickly; long ones before their parts.
    groups = itertools.groupby(sorted(forms, key=lambda f: (f[0], -len(f), f)), lambda f: f[0])
    parts = (
        rf"{re.escape(first)}(?<!\w{re.escape(first)})(?:{'|'.join(map(_rest, group))})"
        for first, group in groups
    )
    return re.compile(rf"(?:{'|'.join(parts)})(?!\w)")


def _rest(form: str) -> str:
    return BLANK.join(map(re.escape, form.split()))[len(re.escape(form[0])) :]
