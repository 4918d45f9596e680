"""Folders that this program has written, which are no data of users."""

from __future__ import annotations

import os

from bigmodel.data.prepared.cache import WHOLE
from bigmodel.data.prepared.contents import RECORDS

WRITTEN = (
    ("config.json", "manifest.json"),
    ("config.json", "metrics.jsonl"),
    ("folds.json",),
    ("study.json",),
    (WHOLE,),
)
"""The files by which a run, one of several folds, a study and prepared data are known."""


def is_written(folder: str | os.PathLike[str]) -> bool:
    """Whether a folder holds a run, a study or prepared data, or nothing but such folders.

    One that cannot be read is said not to.
    """
    if any(all(os.path.isfile(os.path.join(folder, n)) for n in names) for names in WRITTEN):
        return True
    some = False
    try:
        with os.scandir(folder) as entries:
            for entry in entries:
                if entry.name.startswith(".") or entry.name == RECORDS:
                    continue
                if not entry.is_dir(follow_symlinks=False) or not is_written(entry.path):
                    return False
                some = True
    except OSError:
        return False
    return some
