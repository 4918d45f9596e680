"""Users as the numbers that a recommender reads, by what a run knows of its ratings."""

from __future__ import annotations

import difflib
import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float

from bigmodel.experiment import Assets, InputError
from bigmodel.predictor import Kind

RATINGS = "ratings.json"


class RatingReader(NamedTuple):
    """What a run knows of its ratings.

    ``users`` and ``items`` are those of the training ratings, in the order of their numbers.
    ``titles`` says what to call each item, ``tags`` the names of the tags, ``tagged`` the numbers
    of those that each item has. ``mean`` is the mean training rating, ``rated`` are the numbers
    of the items that each user has rated in training.
    """

    users: tuple[str, ...]
    items: tuple[str, ...]
    titles: tuple[str, ...]
    tags: tuple[str, ...]
    tagged: tuple[tuple[int, ...], ...]
    mean: float
    rated: tuple[tuple[int, ...], ...]

    @property
    def kind(self) -> Kind:
        """What an input is."""
        return "text"

    @property
    def inputs(self) -> str:
        """What an input is, in a line."""
        return 'users, or {"rated": {ITEM: RATING, ...}} of a new one, by items or titles'

    def encode(self, inputs: Sequence[Any]) -> dict[str, np.ndarray]:
        """``user`` int32 ``[batch]``, and what each has rated.

        That is ``rated`` bool ``[batch, items]``, and ``ratings`` float32 ``[batch, items]``, which
        is 0 for known users. A new user has the number after the last.

        Raises:
            InputError: There is no such user or item, or a rating is no number.
        """
        users = {user: number for number, user in enumerate(self.users)}
        numbers = np.full(len(inputs), len(self.users), np.int32)
        rated = np.zeros((len(inputs), len(self.items)), bool)
        ratings = np.zeros((len(inputs), len(self.items)), np.float32)
        for row, each in enumerate(map(_parsed, inputs)):
            if isinstance(each, Mapping):
                for item, rating in self._new(each):
                    rated[row, item], ratings[row, item] = True, rating
                continue
            if each not in users:
                raise InputError(f"there is no user {each[:40]!r} in the training ratings")
            numbers[row] = users[each]
            rated[row, list(self.rated[users[each]])] = True
        return {"user": numbers, "rated": rated, "ratings": ratings}

    def _new(self, each: Mapping[str, Any]) -> Iterator[tuple[int, float]]:
        given = each.get("rated")
        if not isinstance(given, Mapping) or not given:
            raise InputError('a new user is {"rated": {ITEM: RATING, ...}}')
        known = {title: number for number, title in enumerate(self.titles)}
        known |= {item: number for number, item in enumerate(self.items)}
        for name, rating in given.items():
            if name not in known:
                near = difflib.get_close_matches(str(name)[:200], known, n=1, cutoff=0.0)[0]
                raise InputError(f"there is no item {str(name)[:40]!r}; did you mean {near!r}?")
            if isinstance(rating, bool) or not isinstance(rating, int | float):
                raise InputError(f"the rating {str(rating)[:40]!r} of {name!r} is no number")
            if not abs(rating) < 1e6:
                raise InputError(f"the rating {str(rating)[:40]} of {name!r} is too large")
            yield known[name], float(rating)

    def tag_table(self) -> Float[np.ndarray, "item tag"]:
        """1 where an item has a tag."""
        table = np.zeros((len(self.items), len(self.tags)), np.float32)
        for row, tags in enumerate(self.tagged):
            table[row, list(tags)] = 1
        return table

    def dump(self) -> dict[str, bytes]:
        """The files of a run from which :func:`rating_reader` makes this."""
        return {RATINGS: json.dumps(self._asdict(), ensure_ascii=False).encode()}


def rating_reader(assets: Assets) -> RatingReader:
    """The reader that a run has kept in its files."""
    kept = json.loads(assets[RATINGS])
    for name in ("tagged", "rated"):
        kept[name] = tuple(map(tuple, kept[name]))
    for name in ("users", "items", "titles", "tags"):
        kept[name] = tuple(kept[name])
    return RatingReader(**kept)


def _parsed(each: Any) -> str | Mapping[str, Any]:
    """A user, or what a new one has rated, which may be text in JSON."""
    if isinstance(each, str) and each.lstrip().startswith("{"):
        try:
            each = json.loads(each)
        except (ValueError, RecursionError) as error:
            raise InputError(f"it is no JSON: {error}") from None
    if isinstance(each, int) and not isinstance(each, bool):
        each = str(each)
    if not isinstance(each, str | Mapping):
        raise InputError(f"it is no user: {repr(each)[:40]}")
    return each
