"""Signed folders: a list of their files, and an Ed25519 signature over the list (RFC 8032).

``SIGNED.json`` has the size and the sha256 of every file by its name, ``SIGNED.sig`` the 64 bytes
of the signature over that. ``docs/protection.md`` says how other programs check it.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bigmodel.errors import naming
from bigmodel.experiment import InputError
from bigmodel.files import LOCK, sha256_of, write_atomically, write_json
from bigmodel.protection.secrets import check_installed, read_secret

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import (
        Ed25519PrivateKey,
        Ed25519PublicKey,
    )

LIST, SIGNATURE = "SIGNED.json", "SIGNED.sig"
FORMAT = "bigmodel signed files 1"
NAMED = 5
"""Changes that a message names."""

Files = Mapping[str, Mapping[str, Any]]
"""The size and the sha256 of files by their names, with slashes."""


def read_private(path: Path) -> Ed25519PrivateKey:
    """The key to sign with, from a PEM file; raises InputError where it is none."""
    check_installed("a signature")
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
    from cryptography.hazmat.primitives.serialization import load_pem_private_key

    found: Any = None
    try:
        with contextlib.suppress(ValueError, UnsupportedAlgorithm):
            found = load_pem_private_key(read_secret(path), None)
    except TypeError:
        raise InputError(
            f"{path} is encrypted; sign with what openssl pkey -in {path} -out FILE writes"
        ) from None
    if not isinstance(found, Ed25519PrivateKey):
        raise InputError(
            f"{path} is no private Ed25519 key in PEM; make one by "
            "openssl genpkey -algorithm ed25519 -out FILE"
        )
    return found


def read_public(path: Path) -> Ed25519PublicKey:
    """The key to verify with, from a PEM file; raises InputError where it is none."""
    check_installed("a signature")
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
    from cryptography.hazmat.primitives.serialization import load_pem_public_key

    found: Any = None
    with naming(path, "read"), contextlib.suppress(ValueError, UnsupportedAlgorithm):
        found = load_pem_public_key(path.read_bytes())
    if not isinstance(found, Ed25519PublicKey):
        raise InputError(
            f"{path} is no public Ed25519 key in PEM; that of a private one is written by "
            "openssl pkey -in PRIVATE -pubout -out PUBLIC"
        )
    return found


def fingerprint(key: Ed25519PublicKey) -> str:
    """The sha256 of a public key in DER, which names it."""
    from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

    content = key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    return hashlib.sha256(content).hexdigest()


def sign(folder: Path, key: Ed25519PrivateKey) -> str:
    """Signs all files of a folder, and says so in a line.

    Raises:
        InputError: there is something else than files and folders.
        StorageError: a file cannot be read or written.
    """
    files = {name: entry for name, entry in _listed(folder).items() if name != LOCK}
    named = fingerprint(key.public_key())
    write_json(folder / LIST, {"format": FORMAT, "key": named, "files": files})
    write_atomically(folder / SIGNATURE, key.sign((folder / LIST).read_bytes()))
    return f"signed with the key {named[:16]}, files: {len(files)}"


def verify(folder: Path, key: Ed25519PublicKey) -> str:
    """Says in a line that all files of a folder are what was signed, and that there are no others.

    Raises:
        InputError: the folder is not signed, or not by this key, or has been changed; one line
            names the files.
        StorageError: a file cannot be read.
    """
    from cryptography.exceptions import InvalidSignature

    for name in (LIST, SIGNATURE):
        if not (folder / name).is_file():
            raise InputError(f"{folder} is not signed: it has no {name}")
    with naming(folder, "read"):
        content, signature = ((folder / name).read_bytes() for name in (LIST, SIGNATURE))
    named = fingerprint(key)
    try:
        key.verify(signature, content)
        value = json.loads(content)
    except InvalidSignature:
        other = _claimed(content)
        raise InputError(
            f"{folder} is not signed with the key {named[:16]}, but {LIST} names the key {other}"
            if other not in ("", named[:16])
            else f"{folder}: {LIST} or {SIGNATURE} was changed after it was signed"
        ) from None
    except ValueError:
        value = None
    if not isinstance(value, dict) or value.get("format") != FORMAT or not _are(value.get("files")):
        raise InputError(f"{folder / LIST} is of another format than {FORMAT!r}")
    if changes := list(_changes(value["files"], _listed(folder))):
        more = len(changes) - NAMED
        said = "; ".join(changes[:NAMED]) + (f"; and {more} more" if more > 0 else "")
        raise InputError(f"{folder} is not what was signed: {said}")
    return f"is what was signed with the key {named[:16]}, files: {len(value['files'])}"


def _are(files: Any) -> bool:
    """Whether it is the files of a list."""
    return isinstance(files, dict) and all(
        isinstance(each, dict) and each.keys() >= {"size", "sha256"} for each in files.values()
    )


def _claimed(content: bytes) -> str:
    """The beginning of the key that a list names, of which nothing is known to be true."""
    try:
        key = json.loads(content)["key"][:16]
        return key if int(key, 16) >= 0 else ""
    except (ValueError, TypeError, KeyError, RecursionError):
        return ""


def _listed(folder: Path) -> dict[str, dict[str, Any]]:
    found = {}
    for path in _paths(folder):
        name = path.relative_to(folder).as_posix()
        if path.is_symlink() or not path.is_file():
            raise InputError(f"{path} is a link or no file, and only files can be signed")
        if name not in (LIST, SIGNATURE):
            with naming(path, "read"):
                size = path.stat().st_size
            found[name] = {"size": size, "sha256": sha256_of(path)}
    return found


def _paths(folder: Path) -> Iterator[Path]:
    """All that is in a folder at any depth, but folders."""

    def fail(error: OSError) -> None:
        raise error

    for place, folders, files in os.walk(folder, onerror=fail):
        folders.sort()
        links = [name for name in folders if Path(place, name).is_symlink()]
        yield from (Path(place, name) for name in sorted([*files, *links]))


def _changes(signed: Files, found: Files) -> Iterator[str]:
    new = sorted(found.keys() - signed.keys())
    for name in sorted(signed):
        if name not in found:
            same = next((other for other in new if found[other] == signed[name]), None)
            if same is None:
                yield f"{_shown(name)} was removed"
            else:
                new.remove(same)
                yield f"{_shown(name)} was renamed to {_shown(same)}"
        elif found[name] != signed[name]:
            sizes = found[name]["size"], signed[name]["size"]
            why = "has {} bytes, not {}" if sizes[0] != sizes[1] else "has another sha256"
            yield f"{_shown(name)} was changed: it {why.format(*sizes)}"
    yield from (f"{_shown(name)} was added" for name in new)


def _shown(name: str) -> str:
    return name if name.isprintable() else ascii(name)
