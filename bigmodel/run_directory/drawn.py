"""Figures as files."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np

from bigmodel.errors import StorageError
from bigmodel.experiment import Figure
from bigmodel.files import write_atomically
from bigmodel.output import warn


def write_figure(
    folder: Path, name: str, figure: Figure, *, told: str
) -> tuple[str | np.ndarray, Path] | None:
    """Writes a text or a picture into a folder; one that cannot be drawn is a warning.

    Args:
        folder: where to.
        name: the name of the file, without its ending.
        figure: what is written.
        told: what the figure is called in the warning.

    Returns:
        What was written, and its path.

    Raises:
        StorageError: it cannot be written.
    """
    try:
        value = figure() if callable(figure) else figure
        if isinstance(value, str):
            # The name of a folder, and so of a class, may be no Unicode.
            value = value.encode(errors="replace").decode()
            path = folder / f"{name}.txt"
            write_atomically(path, value.encode())
        else:
            path = folder / f"{name}.png"
            write_atomically(path, _png(value))
    except StorageError:
        raise
    except Exception as error:
        reason = " ".join(f"{type(error).__name__}: {error}".split())
        warn(f"the figure {told} is left out: {reason}")
        return None
    return value, path


def _png(pixels: np.ndarray) -> bytes:
    from PIL import Image

    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG")
    return buffer.getvalue()
