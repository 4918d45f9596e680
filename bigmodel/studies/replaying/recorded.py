"""A finished run, read from its directory."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from bigmodel.experiment import InputError
from bigmodel.run_directory.directory import CONFIG, MANIFEST, METRICS, SUMMARY, RunDirectory
from bigmodel.run_directory.history import History, read_metrics
from bigmodel.studies.results import FAILED


class Recorded(NamedTuple):
    """The config, manifest, summary and history of a finished run."""

    path: Path
    config: Mapping[str, Any]
    manifest: Mapping[str, Any]
    summary: Mapping[str, Any]
    history: History


def read_recorded(path: Path) -> Recorded:
    """Reads a finished run.

    Raises:
        InputError: where there is none, or a part of it is missing.
        StorageError: where it cannot be read.
    """
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
    failed = directory.read_json(FAILED)
    if failed is not None:
        raise InputError(f"{path} has no end to compare with, for it failed: {failed['reason']}")
    summary = directory.read_json(SUMMARY)
    if summary is None:
        raise InputError(
            f"{path} has not ended, for it has no {SUMMARY}; its own command goes on with it"
        )
    return Recorded(path, config, manifest, summary, read_metrics(path / METRICS))
