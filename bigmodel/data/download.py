"""A file from the network, checked before it gets its name."""

from __future__ import annotations

import hashlib
import http.client
import shutil
import sys
import tempfile
import urllib.error
import urllib.request
from pathlib import Path

from bigmodel.experiment import InputError
from bigmodel.files import user_cache

TIMEOUT_SECONDS = 30


def cache_folder(name: str) -> Path:
    """Where downloads of that name are kept: below ``$XDG_CACHE_HOME``, else ``~/.cache``.

    Raises:
        InputError: the user has no home folder.
    """
    root = user_cache()
    if root is None:
        raise InputError("this user has no home folder for downloads; set XDG_CACHE_HOME")
    return root / "bigmodel" / name


def fetch(url: str, destination: Path, *, sha256: str) -> Path:
    """Download once. The file appears under its name whole and checked, or not at all.

    Raises:
        InputError: If the network or the disk fails, or the content is another one.
    """
    if destination.exists():
        return destination
    by_hand = f"; you may put the file at {destination} by hand"
    print(f"downloading {url} to {destination}", file=sys.stderr)
    try:
        destination.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=destination.parent, prefix=".download-") as folder:
            partial = Path(folder) / destination.name
            with (
                urllib.request.urlopen(url, timeout=TIMEOUT_SECONDS) as response,
                partial.open("w+b") as file,
            ):
                shutil.copyfileobj(response, file)
                size = file.tell()
                file.seek(0)
                found = hashlib.file_digest(file, "sha256").hexdigest()
            if found != sha256:
                raise InputError(
                    f"{url} gave {size} bytes with sha256 {found}, expected {sha256}" + by_hand
                )
            partial.replace(destination)
    except (OSError, http.client.HTTPException) as error:
        if isinstance(error, urllib.error.HTTPError):
            error.close()  # an answer of the server that is an error holds its socket open
        raise InputError(f"cannot download {url}: {error}" + by_hand) from error
    return destination
