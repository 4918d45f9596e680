"""Ratings that users gave to items, from MovieLens or a CSV file, as batches."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal, NamedTuple

import numpy as np
from jaxtyping import Float, Float32, Int

from bigmodel.data.batches import Arrays
from bigmodel.data.known_ratings import RatingReader, rating_reader
from bigmodel.data.packaged import read_rdataset
from bigmodel.data.parts import data_of, names_of_numbers
from bigmodel.data.personal.masking import Mask, Personal
from bigmodel.data.split import Folds, check_held_out, split_rows
from bigmodel.data.tables.columns import Column, Frame
from bigmodel.data.tables.csv_table import CsvFormat, read_csv
from bigmodel.data.tables.kinds import Kind, Text, number_kind, to_frame
from bigmodel.experiment import Assets, Data, InputError
from bigmodel.output import warn_of_each

MOVIELENS_SHA256 = "f11eb406d322dbeff4445a4e4954b6a37b6c210af3f2142310e895d2ee15f3c5"
MOVIELENS = "--data.name movielens"
LARGEST = 1e15
"""Of ratings: sums of the squares of larger ones may be no numbers of 32 bits."""


@dataclass(frozen=True)
class RatingData(Folds, CsvFormat, Personal):
    """Which ratings, and how they are divided."""

    name: Literal["movielens", "csv"] = "movielens"
    """movielens: 100,004 ratings of 9,066 films by 671 users, in the extra 'data'; csv: your own"""
    path: str = ""
    """a CSV file with a header, which may be gzipped; used whenever it is given"""
    user: str = "userId"
    """column that says who rated; any text"""
    item: str = "movieId"
    """column that says what was rated; any text"""
    rating: str = "rating"
    """column of the rating, a number"""
    tags: str = ""
    """column of an item's tags, divided by |, which two_tower reads; movielens has genres"""
    title: str = ""
    """column of an item's title to show; movielens has title, others show the item itself"""
    batch_size: int = 1024
    """ratings in a batch"""
    validation: float = 0.1
    """fraction of the training ratings that is held out to choose by; 0 for none"""
    test: float = 0.1
    """fraction of the ratings that is held out as test set; 0 for none"""
    split_seed: int = 0
    """decides which ratings are held out, apart from the seed of the run"""

    def __post_init__(self) -> None:
        check_held_out(self)


class Ratings(NamedTuple):
    """Batches of ratings with what a model must know about them.

    ``users`` and ``items`` are all in the order of their numbers, those of training first.
    ``parts`` are the ratings of each split as arrays.
    """

    data: Data
    reader: RatingReader
    users: tuple[str, ...]
    items: tuple[str, ...]
    parts: Mapping[str, Arrays]


class _Numbered(NamedTuple):
    """The number of each row's value, the values by number, and where each is seen first."""

    numbers: Int[np.ndarray, " rows"]
    names: tuple[str, ...]
    rows: Int[np.ndarray, " names"]
    known: int


def load_ratings(options: RatingData, assets: Assets | None = None) -> Ratings:
    """Read ratings, hold some out at random, and make them into batches.

    Batches are ``user`` and ``item`` int32 ``[batch]``, ``tags`` float32 ``[batch, tag]``,
    which is 1 where the item has the tag, ``target`` float32 ``[batch]``, the rating, and
    ``weight`` float32 ``[batch]``. Users and items of the training ratings come first in their
    numbers.

    Args:
        options: Which ratings.
        assets: Files of a trained run: all ratings are then the split ``test`` for it.

    Raises:
        InputError: If the file cannot be read, a column is missing, a rating is no number, or
            there are fewer than two users or two items.
    """
    mask = options.masking()
    frame = _read(options, mask)
    ratings = _ratings_of(frame, options.rating)
    of_users = _values(frame, options.user, option="--data.user")
    of_items = _values(frame, options.item, option="--data.item")
    if assets is not None:
        found = _to_test(options, rating_reader(assets), of_users, of_items, ratings)
        return _counted(found, mask)
    split = split_rows(options, len(ratings))
    users, items = _number(of_users, split["train"]), _number(of_items, split["train"])
    for what, numbered in (("user", users), ("item", items)):
        if numbered.known < 2:
            raise InputError(
                f"{frame.source}: all training ratings have the {what} {numbered.names[0]!r}, and "
                f"a model learns from differences; give ratings of at least two {what}s"
            )
    known = ratings[split["train"]]
    if (known == known[0]).all():
        raise InputError(
            f"{frame.source}: all training ratings are {known[0]:g}; there is nothing to learn"
        )
    movielens = frame.source == MOVIELENS
    tags, tagged = _tags(frame, options.tags or ("genres" if movielens else ""), items)
    titles = _titles(frame, options.title or ("title" if movielens else ""), items)
    arrays = {"user": users.numbers, "item": items.numbers, "target": ratings}
    parts = {
        name: {key: array[rows] for key, array in arrays.items()} for name, rows in split.items()
    }
    train = parts["train"]
    order = np.argsort(train["user"], kind="stable")
    ends = np.cumsum(np.bincount(train["user"], minlength=users.known))
    reader = RatingReader(
        users.names[: users.known],
        items.names[: items.known],
        titles[: items.known],
        tags,
        tuple(tuple(np.flatnonzero(row).tolist()) for row in tagged[: items.known]),
        float(train["target"].mean(dtype=np.float64)),
        tuple(tuple(of_user.tolist()) for of_user in np.split(train["item"][order], ends[:-1])),
    )
    found = _ratings(parts, reader, tagged, options, users.names, items.names)
    return _counted(found, mask)


def _counted(found: Ratings, mask: Mask) -> Ratings:
    return found._replace(data=found.data._replace(assets=mask.with_counts(found.data.assets)))


def _to_test(
    options: RatingData,
    reader: RatingReader,
    of_users: np.ndarray,
    of_items: np.ndarray,
    ratings: np.ndarray,
) -> Ratings:
    """All ratings as the test split of a trained run; users and items that it lacks are unknown."""
    whole: dict[str, np.ndarray] = {"target": ratings}
    for key, names, values in (("user", reader.users, of_users), ("item", reader.items, of_items)):
        number = {name: index for index, name in enumerate(names)}
        found = [number.get(value, len(names)) for value in values.tolist()]
        whole[key] = np.array(found, np.int32)
        if unknown := found.count(len(names)):
            warn_of_each(f"ratings have a {key} that the run was not trained on", unknown)
    tagged = np.concatenate([reader.tag_table(), np.zeros((1, len(reader.tags)), np.float32)])
    options = replace(options, batch_size=min(options.batch_size, len(ratings)))
    parts = {"train": whole, "test": whole}
    return _ratings(parts, reader, tagged, options, reader.users, reader.items)


def _ratings(
    parts: Mapping[str, Arrays],
    reader: RatingReader,
    tagged: np.ndarray,
    options: RatingData,
    users: tuple[str, ...],
    items: tuple[str, ...],
) -> Ratings:
    def with_tags(batch: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        return batch | {"tags": tagged[batch["item"]]}

    data = data_of(
        parts,
        options.batch_size,
        prepare=with_tags,
        beside={"tagged": tagged},
        deciding=names_of_numbers(reader.users, reader.items, own=bool(options.path)),
        assets=reader.dump(),
        shared="a run keeps all ratings, for its answers leave out what a user has rated",
    )
    known = {
        part: sorted({int(user) for user in parts[part]["user"] if user < len(reader.users)})
        for part in data.splits
    }
    inputs = {part: [users[number] for number in numbers] for part, numbers in known.items()}
    return Ratings(data._replace(inputs=inputs), reader, users, items, parts)


def _read(options: RatingData, mask: Mask) -> Frame:
    if options.path:
        cells = read_csv(Path(options.path), options, mask=mask)
        kinds: dict[str, Kind] = {}
        for role in ("user", "item", "tags", "title", "rating"):
            if getattr(options, role):
                name = cells.find(getattr(options, role), option=f"--data.{role}")
                rating = role == "rating"
                kinds[name] = number_kind(cells, name, options) if rating else Text()
        return to_frame(cells, kinds)
    if options.name == "csv":
        raise InputError("--data.name csv needs a file; give it as --data.path FILE")
    table = read_rdataset("dslabs", "movielens", sha256=MOVIELENS_SHA256)
    columns = [
        Column(name, np.asarray(table[name].fillna("").astype(str), np.str_))
        for name in ("userId", "movieId", "genres", "title")
    ]
    columns.append(Column("rating", np.asarray(table["rating"], np.float64)))
    return Frame(MOVIELENS, tuple(columns), np.arange(1, len(table) + 1)).masked(mask)


def _values(frame: Frame, name: str, *, option: str) -> np.ndarray:
    """The values of a column, none of which may be missing."""
    column = frame.find(name, option=option)
    if column.missing.any():
        line = frame.lines[column.missing][0]
        raise InputError(
            f"{frame.source}: line {line} has no {name}; remove the line, or give it one"
        )
    return column.values


def _ratings_of(frame: Frame, name: str) -> Float32[np.ndarray, " rows"]:
    ratings = _values(frame, name, option="--data.rating")
    large = np.abs(ratings) > LARGEST
    if large.any():
        row = int(large.argmax())
        raise InputError(
            f"{frame.source}, line {frame.lines[row]}: the {name} {ratings[row]:g} is larger than "
            f"{LARGEST:g}; correct it, or remove the line"
        )
    return ratings.astype(np.float32)


def _number(values: np.ndarray, train: Int[np.ndarray, " train"]) -> _Numbered:
    """Numbers the values, those of the training rows first, each group in its sorted order."""
    names, rows, inverse = np.unique(values, return_index=True, return_inverse=True)
    known = np.zeros(len(names), bool)
    known[inverse[train]] = True
    order = np.argsort(~known, kind="stable")
    number = np.empty(len(names), np.int32)
    number[order] = np.arange(len(names), dtype=np.int32)
    return _Numbered(number[inverse], tuple(names[order].tolist()), rows[order], int(known.sum()))


def _tags(
    frame: Frame, name: str, items: _Numbered
) -> tuple[tuple[str, ...], Float[np.ndarray, "item tag"]]:
    if not name:
        return (), np.zeros((len(items.names), 0), np.float32)
    values = frame.find(name, option="--data.tags").values[items.rows]
    of_item = [[tag for tag in str(cell).split("|") if tag] for cell in values]
    names = tuple(sorted({tag for tags in of_item for tag in tags}))
    number = {tag: n for n, tag in enumerate(names)}
    tagged = np.zeros((len(items.names), len(names)), np.float32)
    for row, tags in enumerate(of_item):
        tagged[row, [number[tag] for tag in tags]] = 1
    return names, tagged


def _titles(frame: Frame, name: str, items: _Numbered) -> tuple[str, ...]:
    if not name:
        return items.names
    values = frame.find(name, option="--data.title").values[items.rows]
    return tuple(values.tolist())
