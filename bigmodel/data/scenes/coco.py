"""Folders of images with the boxes in them, in COCO's format (Lin et al., 2014)."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float32, Int32, UInt8

from bigmodel.data.images.reading import upright_sides
from bigmodel.data.images.stacking import stacked
from bigmodel.data.texts.text_file import normalized, read_text
from bigmodel.experiment import InputError
from bigmodel.output import note

FILE = "annotations.json"
NOTHING = "background"
SLACK = 1.0
"""Pixels by which a box may lie outside of its image: annotators round."""


class Annotated(NamedTuple):
    """What is in an image: edges in shares of it, and the numbers of classes, from 1 on."""

    boxes: Float32[np.ndarray, "object 4"]
    labels: Int32[np.ndarray, " object"]


class Coco(NamedTuple):
    """Images, what is in each, and the classes' names, the first one that of no object."""

    path: Path
    image: UInt8[np.ndarray, "image size size 3"]
    found: Sequence[Annotated]
    names: tuple[str, ...]

    def of_rows(self, rows: np.ndarray) -> Coco:
        """Some of the images."""
        return self._replace(image=self.image[rows], found=[self.found[row] for row in rows])

    def told_as(self, names: tuple[str, ...]) -> Coco:
        """The same with other numbers of the classes.

        Raises:
            InputError: A class is not among them.
        """
        if unknown := [name for name in self.names if name not in names]:
            raise InputError(
                f"{self.path} has the category {unknown[0]!r}, which was not trained on; there are "
                f"{', '.join(names[1:20])}"
            )
        number = np.array([names.index(name) for name in self.names], np.int32)
        found = [each._replace(labels=number[each.labels]) for each in self.found]
        return self._replace(found=found, names=names)


def read_coco(folder: Path, size: int) -> Coco:
    """The images that ``annotations.json`` in a folder lists, resized to ``size`` by ``size``.

    Their files are in the folder itself, or in ``images`` below it. Crowds are left out.

    Raises:
        InputError: A file is missing or cannot be used, or an annotation is of no image or
            category, or lies outside of its image.
    """
    if not folder.is_dir():
        raise InputError(f"{folder} is no folder; check --data.path")
    text = read_text(path := folder / FILE)
    try:
        told = json.loads(text)
        images, annotations, categories = (
            [_record(each) for each in told[name]]
            for name in ("images", "annotations", "categories")
        )
        categories.sort(key=lambda each: each["id"])
        names = (NOTHING, *(normalized(str(each["name"])) for each in categories))
        labels, rows = _numbers(categories, "categories"), _numbers(images, "images")
        files = [str(each["file_name"]) for each in images]
    except (ValueError, TypeError, KeyError, RecursionError) as error:
        raise InputError(
            f"{path} is not in COCO's format, with images, annotations and categories: "
            f"{type(error).__name__}: {str(error)[:80]}"
        ) from None
    if not images or len(names) < 2 or len(set(names)) != len(names):
        raise InputError(
            f"{path} needs images, and categories of names that differ, none of them {NOTHING!r}"
        )
    places = [_place(folder, file) for file in files]
    if len(set(places)) < len(places):
        twice = next(place for place in places if places.count(place) > 1)
        raise InputError(f"{path} lists {twice} twice; put its boxes under one id")
    pixels = stacked(places, size=size, mode="RGB")
    sides = [_sides(file, each, path) for file, each in zip(places, images, strict=True)]
    found: list[list[tuple[np.ndarray, int]]] = [[] for _ in images]
    crowds = 0
    for number, each in enumerate(annotations):
        if each.get("iscrowd"):
            crowds += 1
            continue
        where = f"{path}, annotation {each.get('id', number)}"
        try:
            row, label = rows[each["image_id"]], labels[each["category_id"]]
        except (KeyError, TypeError):
            raise InputError(f"{where} is of no image or of no category of the file") from None
        found[row].append((_box(each.get("bbox"), sides[row], where), 1 + label))
    if crowds:
        note(f"{path}: {crowds} boxes around crowds are left out")
    annotated = [
        Annotated(
            np.array([box for box, _ in some], np.float32).reshape(-1, 4),
            np.array([label for _, label in some], np.int32),
        )
        for some in found
    ]
    return Coco(path, pixels, annotated, names)


def _record(value: Any) -> Mapping[str, Any]:
    if not isinstance(value, dict):
        raise TypeError(f"{str(value)[:40]} is no object")
    return value


def _numbers(records: Sequence[Mapping[str, Any]], what: str) -> dict[Any, int]:
    """The number of each record by its id."""
    numbers = {each["id"]: number for number, each in enumerate(records)}
    if len(numbers) < len(records):
        raise ValueError(f"two of the {what} have the same id")
    return numbers


def _place(folder: Path, file: str) -> Path:
    places = [folder / file, folder / "images" / file]
    path = next((place for place in places if place.is_file()), None)
    if path is None:
        raise InputError(f"{folder / FILE} lists {file!r}, and there is no {places[0]}")
    return path


def _sides(file: Path, record: Mapping[str, Any], path: Path) -> tuple[int, int]:
    """Width and height of an image, which are those that its boxes are told in."""
    sides, told = upright_sides(file), (record.get("width"), record.get("height"))
    if all(told) and told != sides:
        raise InputError(
            f"{path} says that {file} has {told[0]}x{told[1]} pixels, and it has "
            f"{sides[0]}x{sides[1]}; its boxes are of another image"
        )
    return sides


def _box(value: Any, sides: tuple[int, int], where: str) -> Float32[np.ndarray, "4"]:
    """The edges in shares of the image, of left, top, width and height in pixels."""
    try:
        left, top, width, height = (float(number) for number in value)
    except (TypeError, ValueError, OverflowError):
        raise InputError(f"{where}: its bbox is not [left, top, width, height]") from None
    edges = np.array([left, top, left + width, top + height])
    if not (np.isfinite(edges).all() and width > 0 and height > 0):
        raise InputError(f"{where}: its bbox {value} has no area")
    across, down = sides
    inner = np.clip(edges, 0, [across, down, across, down])
    if (np.abs(edges - inner) > SLACK).any() or (inner[2:] <= inner[:2]).any():
        raise InputError(
            f"{where}: its bbox {value} lies outside of the image, which has {across}x{down} pixels"
        )
    return (inner / [across, down, across, down]).astype(np.float32)
