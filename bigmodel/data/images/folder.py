"""Folders of images, one subfolder a class: which files there are, and of which class."""

from __future__ import annotations

import difflib
import mimetypes
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path, PurePath
from typing import Any, NamedTuple, TypeAlias

import numpy as np
from jaxtyping import Int, Int32

from bigmodel.data.lookup import Lookup, lookup
from bigmodel.data.prepared.written import is_written
from bigmodel.data.texts.text_file import normalized
from bigmodel.experiment import InputError
from bigmodel.output import note

NAMES = {
    "train": ("train", "training"),
    "validation": ("val", "valid", "validation", "dev"),
    "test": ("test", "testing"),
}
PARTS = {name: part for part, names in NAMES.items() for name in names}
"""Names of folders that hold a part of the data; their case does not matter."""
IGNORED = "__MACOSX"
TOLD = ("path", "subfolder")
"""What is known of a file beside its pixels."""

Classes = Mapping[str, list[str]]
"""The files of each class, by its name."""


Told: TypeAlias = Callable[[str, Int[np.ndarray, " row"]], np.ndarray]
"""The texts that one of ``TOLD`` has for some files."""


class Files(NamedTuple):
    """Paths of images, by class and name, the class of each, and the folder of the classes."""

    paths: list[str]
    label: Int32[np.ndarray, " file"]
    folder: Path


def find_images(
    path: Path, test_path: Path | None = None, *, known: tuple[str, ...] = ()
) -> tuple[dict[str, Files], tuple[str, ...]]:
    """The images of a folder, in the order of their names; none is opened.

    Args:
        path: The folder. Its subfolders are the classes, or they are ``train`` and perhaps
            ``val`` and ``test``, which contain the classes. Images may lie at any depth below a
            class; links are followed. Names that start with a dot are ignored, as are folders of
            runs, of studies and of prepared data.
        test_path: Another folder with a subfolder for each class.
        known: The classes that a model was trained on. The folder is then a test set: its part
            ``test`` where it has parts.

    Returns:
        The files of ``train`` and of the other parts that have a folder, and the names of the
        classes.

    Raises:
        InputError: If there are fewer than two classes, a class has no images, or a class of
            another part is missing in the training part.
    """
    folders = _part_folders(path)
    if known:
        folders = {"test": folders.get("test", folders["train"])}
    if test_path is not None:
        if len(folders) > 1:
            raise InputError(
                f"{path} has the parts {', '.join(folders)} itself; leave --data.test-path out, or "
                f"give --data.path {folders['train']}"
            )
        folders["test"] = test_path
    classes = {part: _classes(folder) for part, folder in folders.items()}
    names = known or tuple(sorted(classes["train"]))
    _check_classes(classes, folders, known)
    parts = {}
    for part, files in classes.items():
        counts = [len(files.get(name, ())) for name in names]
        label = np.repeat(np.arange(len(names), dtype=np.int32), counts)
        found = [file for name in names for file in files.get(name, ())]
        parts[part] = Files(found, label, folders[part])
    if len(parts) > 1:
        told = (f"{part} {len(files.paths)}" for part, files in parts.items())
        note(f"{path} is split by its folders: {', '.join(told)} images")
    return parts, names


def told_of(paths: Sequence[str], folders: Sequence[Path], root: Path) -> Told:
    """What tells of each file its path from the root, or below which folder of its class it is.

    ``folders`` have the classes. A file that is not in the root has its path from one of them.
    """
    inner = sorted(folders, key=lambda folder: -len(folder.parts))

    def one(name: str, path: PurePath) -> str:
        folder = next(folder for folder in inner if path.is_relative_to(folder))
        if name == "path":
            return path.relative_to(root if path.is_relative_to(root) else folder).as_posix()
        return "/".join(path.relative_to(folder).parts[1:-1])

    return lambda name, files: np.array([one(name, PurePath(paths[n])) for n in files], object)


def files_apart(
    parts: Mapping[str, Mapping[str, Any]], told: Told | None, source: str
) -> tuple[dict[str, dict[str, Any]], Lookup | None]:
    """The arrays that a network may read, and what looks up where the images lie, if they do."""
    read = {part: {n: a for n, a in of.items() if n != "file"} for part, of in parts.items()}
    if told is None:
        return read, None
    return read, lookup(source, TOLD, lambda part, name: told(name, parts[part]["file"]))


def _part_folders(path: Path) -> dict[str, Path]:
    """The folder of each part; only ``train`` where the subfolders are classes."""
    below = [entry for entry in _entries(path) if entry.is_dir()]
    others = [folder for folder in below if folder.name.lower() not in PARTS]
    parts: dict[str, Path] = {}
    for folder in below:
        part = PARTS.get(folder.name.lower(), "")
        if part in parts and not others:
            raise InputError(
                f"{path} has two folders for {part}: {parts[part].name}, {folder.name}"
            )
        if not others or (part and any(entry.is_dir() for entry in _entries(folder.path))):
            parts[part] = Path(folder.path)
    if not below or (others and not ("train" in parts and len(parts) > 1)):
        return {"train": path}
    if others:
        raise InputError(
            f"{path} has folders of parts ({', '.join(p.name for p in parts.values())}) beside "
            f"{others[0].name!r}; move one of them away, or give the folders of classes as "
            "--data.path and --data.test-path"
        )
    if "train" not in parts:
        raise InputError(f"{path} has a folder for {', '.join(parts)} and none for train; add it")
    return {part: parts[part] for part in NAMES if part in parts}


def _classes(path: Path) -> Classes:
    """The images of each class; folders whose names look alike are one class."""
    classes: dict[str, list[str]] = {}
    loose = []
    for entry in _entries(path):
        if entry.is_dir():
            classes.setdefault(normalized(entry.name), []).extend(_files(entry.path))
        elif (mimetypes.guess_type(entry.name)[0] or "").startswith("image/"):
            loose.append(entry.path)
    if not classes:
        raise InputError(f"--data.path {path} needs a subfolder for each class; it has none")
    if loose:
        note(f"{len(loose)} images outside of class folders are left out, such as {loose[0]}")
    return classes


def _check_classes(
    classes: Mapping[str, Classes], folders: Mapping[str, Path], known: tuple[str, ...]
) -> None:
    train = {name: [folders["test"]] for name in known} or classes["train"]
    trained = "the run" if known else folders["train"]
    if len(train) < 2:
        raise InputError(
            f"--data.path {folders['train']} needs a subfolder for each class; it has only "
            f"{next(iter(train))!r}"
        )
    for name, files in train.items():
        if not files:
            raise InputError(f"{folders['train']}: the class {name!r} has no images")
    for part, found in classes.items():
        if not any(found.values()):
            raise InputError(f"{folders[part]} has no images; add some, or remove it")
        if unknown := sorted(found.keys() - train.keys()):
            near = difflib.get_close_matches(unknown[0], train, n=1, cutoff=0.0)[0]
            raise InputError(
                f"{folders[part]} has the class {unknown[0]!r}, which {trained} has not: "
                f"it was never trained on; add images or remove it; did you mean {near!r}?"
            )
        if missing := sorted(name for name in train if not found.get(name)):
            note(f"{folders[part]} has no images of {len(missing)} classes, such as {missing[0]!r}")


def _entries(folder: str | Path) -> list[os.DirEntry[str]]:
    """The visible entries of a folder, sorted by name, without those of runs and the like."""
    try:
        with os.scandir(folder) as scanned:
            found = sorted(
                (
                    entry
                    for entry in scanned
                    if not entry.name.startswith(".") and entry.name != IGNORED
                ),
                key=lambda entry: entry.name,
            )
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise InputError(f"{str(folder)[:200]} cannot be read as a folder: {reason}") from None
    for entry in found:
        if entry.is_symlink() and not os.path.exists(entry):
            raise InputError(
                f"{entry.path} leads to {os.path.realpath(entry)}, which is not there; mend the "
                "link or remove it"
            )
    return [entry for entry in found if not (entry.is_dir() and is_written(entry))]


def _files(folder: str, above: frozenset[str] = frozenset()) -> Iterator[str]:
    """The files at any depth below a folder."""
    real = os.path.realpath(folder)
    if real in above:
        raise InputError(f"{folder} is a link to a folder that it lies in; remove it")
    for entry in _entries(folder):
        if entry.is_dir():
            yield from _files(entry.path, above | {real})
        elif entry.is_file():
            yield entry.path
