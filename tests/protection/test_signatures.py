"""A signature holds for the files that were signed, all of them and no others."""

import importlib.util
import json
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import launch

pytest.importorskip("cryptography")

from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, generate_private_key
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
)

from bigmodel.protection.signatures import LIST, SIGNATURE

Change = Callable[[Path], Any]


def write_keys(folder: Path, name: str, key: Any = None, encryption: Any = None) -> None:
    key = key or Ed25519PrivateKey.generate()
    private = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, encryption or NoEncryption())
    public = key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    for file, content in (("private", private), ("public", public)):
        (folder / f"{name}.{file}").write_bytes(content)
        (folder / f"{name}.{file}").chmod(0o600)


@pytest.fixture
def signed(tmp_path: Path) -> Path:
    folder = tmp_path / "folder"
    (folder / "assets").mkdir(parents=True)
    (folder / "model.bin").write_bytes(bytes(range(256)) * 8)
    (folder / "assets/names.json").write_text("[]")
    (folder / ".hidden").write_text("")
    write_keys(tmp_path, "own")
    write_keys(tmp_path, "other")
    assert launch.main(["sign", str(folder), "--key", str(tmp_path / "own.private")]) == 0
    return folder


def verify(folder: Path, key: str = "own.public") -> int:
    return launch.main(["verify", str(folder), "--key", str(folder.parent / key)])


def flip(name: str, at: int) -> Change:
    def change(folder: Path) -> None:
        content = bytearray((folder / name).read_bytes())
        content[at] ^= 1
        (folder / name).write_bytes(content)

    return change


def sign_again(folder: Path) -> None:
    (folder / "model.bin").write_bytes(b"")
    assert launch.main(["sign", str(folder), "--key", str(folder.parent / "other.private")]) == 0


CHANGES: dict[str, tuple[Change, str]] = {
    "first byte": (flip("model.bin", 0), "model.bin was changed: it has another sha256"),
    "last byte": (flip("assets/names.json", -1), "assets/names.json was changed"),
    "longer": (
        lambda folder: (folder / ".hidden").write_text("x"),
        ".hidden was changed: it has 1 bytes, not 0",
    ),
    "removed": (lambda folder: (folder / "model.bin").unlink(), "model.bin was removed"),
    "added": (lambda folder: (folder / "assets/.x").touch(), "assets/.x was added"),
    "a name with a line": (lambda folder: (folder / "x\ny").touch(), r"'x\ny' was added"),
    "renamed": (
        lambda folder: (folder / "model.bin").rename(folder / "assets/m"),
        "model.bin was renamed to assets/m",
    ),
    "swapped": (
        lambda folder: shutil.copyfile(folder / "model.bin", folder / "assets/names.json"),
        "assets/names.json was changed",
    ),
    "a link": (
        lambda folder: (folder / "link").symlink_to(folder / "model.bin"),
        "link is a link or no file",
    ),
    "a linked folder": (
        lambda folder: (folder / "link").symlink_to(folder / "assets"),
        "link is a link or no file",
    ),
    "the list": (flip(LIST, 3), f"{LIST} or {SIGNATURE} was changed"),
    "the end of the list": (
        lambda folder: (folder / LIST).open("a").write(" "),
        f"{LIST} or {SIGNATURE} was changed",
    ),
    "a list in a list": (
        lambda folder: (folder / LIST).write_text("[" * 200_000),
        f"{LIST} or {SIGNATURE} was changed",
    ),
    "the signature": (flip(SIGNATURE, 63), f"{LIST} or {SIGNATURE} was changed"),
    "a cut signature": (
        lambda folder: (folder / SIGNATURE).write_bytes(b"x"),
        f"{LIST} or {SIGNATURE} was changed",
    ),
    "no signature": (lambda folder: (folder / SIGNATURE).unlink(), f"it has no {SIGNATURE}"),
    "no list": (lambda folder: (folder / LIST).unlink(), f"is not signed: it has no {LIST}"),
    "another's": (sign_again, f"but {LIST} names the key"),
}


@pytest.mark.parametrize("change", CHANGES)
@pytest.mark.filterwarnings("ignore:unclosed")
def test_a_change_is_named_in_one_line(
    change: str, signed: Path, capsys: pytest.CaptureFixture
) -> None:
    assert verify(signed) == 0
    do, said = CHANGES[change]
    do(signed)
    capsys.readouterr()
    assert verify(signed) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert said in line


def test_many_changes_are_counted(signed: Path, capsys: pytest.CaptureFixture) -> None:
    for number in range(8):
        (signed / f"file-{number}").touch()
    assert verify(signed) == 2
    assert capsys.readouterr().err.rstrip().endswith("file-4 was added; and 3 more")


def test_openssl_agrees(signed: Path, tmp_path: Path) -> None:
    if shutil.which("openssl") is None:
        pytest.skip("needs openssl")
    command = "openssl pkeyutl -verify -pubin -inkey own.public -rawin -in"
    files = [f"folder/{LIST}", "-sigfile", f"folder/{SIGNATURE}"]
    done = subprocess.run(
        [*command.split(), *files], cwd=tmp_path, check=False, capture_output=True
    )
    assert done.returncode == 0, done
    assert json.loads((signed / LIST).read_text())["files"].keys() == {
        "model.bin", "assets/names.json", ".hidden"
    }  # fmt: skip


def test_what_is_no_key_is_said_in_one_line(
    signed: Path, tmp_path: Path, capsys: pytest.CaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_keys(tmp_path, "ec", generate_private_key(SECP256R1()))
    write_keys(tmp_path, "closed", encryption=BestAvailableEncryption(b"x"))
    capsys.readouterr()

    def refused(command: str, key: str, path: Path = signed) -> str:
        assert launch.main([command, str(path), "--key", str(tmp_path / key)]) in (1, 2)
        (line,) = capsys.readouterr().err.splitlines()
        return line

    for key in ("own.private", "ec.public", "folder/model.bin"):
        assert "is no public Ed25519 key" in refused("verify", key)
    for key in ("own.public", "ec.private"):
        assert "openssl genpkey -algorithm ed25519" in refused("sign", key)
    assert "is encrypted; sign with" in refused("sign", "closed.private")
    assert "cannot read" in refused("verify", "none")
    assert "is no folder" in refused("verify", "own.public", tmp_path / "none")
    assert "is not signed with the key" in refused("verify", "other.public")
    monkeypatch.setattr(importlib.util, "find_spec", lambda _: None)
    assert "pip install -e '.[protect]'" in refused("verify", "own.public")


def test_a_key_that_others_can_read_is_warned_of(
    signed: Path, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    (tmp_path / "own.private").chmod(0o644)
    assert launch.main(["sign", str(signed), "--key", str(tmp_path / "own.private")]) == 0
    assert "can be read by others than its owner: chmod 600" in capsys.readouterr().err
    assert verify(signed) == 0


@pytest.mark.parametrize("files", [None, ["model.bin"], {"model.bin": 2048}])
def test_a_list_of_another_form_is_refused(
    files: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    key, folder = Ed25519PrivateKey.generate(), tmp_path / "folder"
    write_keys(tmp_path, "own", key)
    folder.mkdir()
    content = json.dumps({"format": "bigmodel signed files 1", "files": files}).encode()
    (folder / LIST).write_bytes(content)
    (folder / SIGNATURE).write_bytes(key.sign(content))
    (folder / "model.bin").write_bytes(bytes(2048))
    assert verify(folder) == 2
    assert f"{LIST} is of another format" in capsys.readouterr().err
