"""Entities in labels of words, and how many of them are found."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import NamedTuple, TypeAlias

OUTSIDE = "O"
PREFIXES = ("B", "I", "E", "S")
"""Of labels: a word begins an entity, is inside of it, ends it, or is all of it."""


class Entity(NamedTuple):
    """Consecutive words, from ``first`` to before ``end``, and what they are."""

    kind: str
    first: int
    end: int


Counts: TypeAlias = "Counter[str]"


def has_entities(labels: Iterable[str]) -> bool:
    """Whether labels are ``O``, or one of :data:`PREFIXES` and a kind: ``B-person``."""
    return all(label == OUTSIDE or label[:2] in {f"{p}-" for p in PREFIXES} for label in labels)


def entities(labels: Sequence[str]) -> list[Entity]:
    """The entities of a sentence, as seqeval and the script of CoNLL-2000 find them.

    An entity begins at B or S, after O, E or S, and where the kind changes; so what begins with I
    is one too (IOB1), and BIO and BIOES are both understood.
    """
    found: list[Entity] = []
    before, kind, first = OUTSIDE, "", 0
    for index, label in enumerate([*labels, OUTSIDE]):
        prefix, _, name = label.partition("-")
        goes_on = prefix in ("I", "E") and before in ("B", "I") and name == kind
        if not goes_on:
            if before != OUTSIDE:
                found.append(Entity(kind, first, index))
            kind, first = name, index
        before = prefix
    return found


class Scores(NamedTuple):
    """Shares of the entities: found ones that are right, right ones that are found, and the mean.

    ``support`` is how many there are.
    """

    precision: float
    recall: float
    f1: float
    support: int


def scores(
    found: Sequence[Sequence[str]], right: Sequence[Sequence[str]]
) -> tuple[Scores, dict[str, Scores]]:
    """The scores of all entities together (micro), and of each kind.

    An entity is found where its kind and both its ends are right. ``f1`` is the harmonic mean of
    precision and recall; what would be divided by 0 is 0.
    """
    both, said, true = Counter[str](), Counter[str](), Counter[str]()
    for one, other in zip(found, right, strict=True):
        predicted, expected = set(entities(one)), set(entities(other))
        for counts, which in (
            (both, predicted & expected), (said, predicted), (true, expected),
        ):  # fmt: skip
            counts.update(entity.kind for entity in which)

    def of(hits: int, predicted: int, expected: int) -> Scores:
        return Scores(
            hits / predicted if predicted else 0.0,
            hits / expected if expected else 0.0,
            2 * hits / (predicted + expected) if predicted + expected else 0.0,
            expected,
        )

    kinds = sorted(said.keys() | true.keys())
    return (
        of(both.total(), said.total(), true.total()),
        {kind: of(both[kind], said[kind], true[kind]) for kind in kinds},
    )
