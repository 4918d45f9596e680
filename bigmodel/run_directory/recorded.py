"""What a run has recorded in its directory, without its checkpoints."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from bigmodel.errors import naming
from bigmodel.experiment import Assets, InputError
from bigmodel.protection.sealing import check_plain
from bigmodel.run_directory.directory import (
    ASSETS,
    CONFIG,
    MANIFEST,
    METRICS,
    SUMMARY,
    RunDirectory,
)
from bigmodel.run_directory.history import History, read_metrics

COMPRESSED = "compressed"
"""The entry of a manifest that says from what ``launch.py compress`` has made a run, and how."""


class Recorded(NamedTuple):
    """The files of a run. ``summary`` is empty before its end."""

    path: Path
    config: Mapping[str, Any]
    manifest: Mapping[str, Any]
    summary: Mapping[str, Any]
    history: History
    assets: Assets


def read_recorded(path: Path) -> Recorded:
    """Reads what a run has recorded.

    Raises:
        InputError: there is no run, or it lacks its config or its manifest.
        StorageError: a file cannot be read.
    """
    check_plain(path)
    if not path.is_dir():
        raise InputError(f"there is no run directory {path}; launch.py list shows those there are")
    directory = RunDirectory(path)
    config, manifest = directory.read_json(CONFIG), directory.read_json(MANIFEST)
    if config is None and (path / "fold-0" / CONFIG).exists():
        raise InputError(f"{path} holds the runs of folds; name one of them, as {path / 'fold-0'}")
    for name, found in ((CONFIG, config), (MANIFEST, manifest)):
        if found is None:
            raise InputError(f"{path} is no whole run directory, for it has no {name}")
    assert config is not None
    assert manifest is not None
    assets = {}
    with naming(path / ASSETS, "read"):
        if (path / ASSETS).is_dir():
            files = (file for file in (path / ASSETS).iterdir() if file.is_file())
            assets = {file.name: file.read_bytes() for file in sorted(files)}
    summary = directory.read_json(SUMMARY) or {}
    return Recorded(path, config, manifest, summary, read_metrics(path / METRICS), assets)


def find_runs(folder: Path) -> Iterator[Path]:
    """Yields all run directories in a folder, at any depth, in the order of their names."""
    for path, folders, files in os.walk(folder):
        folders.sort()
        if CONFIG in files and (MANIFEST in files or METRICS in files):
            # No run is inside another one.
            folders.clear()
            yield Path(path)
