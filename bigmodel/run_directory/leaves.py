"""The leaves of a state in a folder of Orbax, against those that are wanted."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bigmodel.errors import StorageError
from bigmodel.experiment import InputError

if TYPE_CHECKING:
    from orbax.checkpoint import StandardCheckpointer


def read_leaves(
    orbax: StandardCheckpointer, path: Path, wanted: Mapping[str, Any]
) -> dict[str, Any]:
    """The leaves in a folder by path, in the shapes, dtypes and shardings that are wanted.

    Raises:
        InputError: where it has other leaves, naming the first.
        StorageError: where it cannot be read.
    """
    try:
        saved = orbax.metadata(path).item_metadata
        check_same_leaves(path, dict(saved), wanted)
        found: dict[str, Any] = orbax.restore(path, wanted)
    except InputError:
        raise
    except Exception as error:
        raise StorageError(reason_of(path, error, doing="read")) from error
    return found


def check_same_leaves(path: Path, saved: Mapping[str, Any], wanted: Mapping[str, Any]) -> None:
    """Raises InputError where a checkpoint has other leaves than are wanted, naming the first."""
    for name in [*wanted, *saved]:
        if name not in saved:
            difference = f"it has no {name}"
        elif name not in wanted:
            difference = f"it has {name}, which this experiment has not"
        elif tuple(saved[name].shape) != tuple(wanted[name].shape):
            difference = (
                f"{name} has shape {list(saved[name].shape)} there "
                f"and {list(wanted[name].shape)} here"
            )
        else:
            continue
        raise InputError(
            f"checkpoint {path} is of another architecture: {difference}; "
            "choose another --run.dir or the options that it was made with"
        )


def reason_of(path: Path, error: Exception, *, doing: str = "write") -> str:
    """Says in one line why a checkpoint cannot be written or read."""
    text = " ".join(str(error).split())
    for known in ("No space left on device", "Read-only file system", "Permission denied"):
        if known in text:
            text = known
    return f"cannot {doing} checkpoint {path}: {text[:300]}"
