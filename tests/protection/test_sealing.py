"""An encrypted export is what it was, or else an error of one line."""

import getpass
import io
import tarfile
from collections.abc import Callable
from pathlib import Path

import pytest

import launch
from bigmodel.experiment import InputError
from bigmodel.models import Mlp
from bigmodel.protection import sealing
from bigmodel.protection.sealing import CHUNK, COST, HEADER, TAG, opened, seal
from bigmodel.protection.secrets import VARIABLE, read_passphrase
from bigmodel.run_directory.trained import read_source
from bigmodel.runtime.command_line import model_from

pytest.importorskip("cryptography")

from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.kdf.scrypt import Scrypt

SECRET = b"correct horse"
BLOCK = CHUNK + TAG
FILES = {"config.json": b"{}", "assets/names.json": b"[]", "model": b"0123456789abcdef" * 160_000}


@pytest.fixture(autouse=True)
def _cheap(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sealing, "COST", 2)


@pytest.fixture
def sealed(tmp_path: Path) -> Path:
    for name, content in FILES.items():
        (tmp_path / "plain" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "plain" / name).write_bytes(content)
    seal(tmp_path / "plain", tmp_path / "export.sealed", SECRET)
    return tmp_path / "export.sealed"


@pytest.mark.parametrize("in_memory", [True, False])
def test_what_is_opened_is_what_was_sealed_and_nothing_stays(
    in_memory: bool,
    sealed: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture,
) -> None:
    if not in_memory:
        monkeypatch.delattr("os.memfd_create", raising=False)
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "scratch"))
    (tmp_path / "scratch").mkdir()
    with opened(sealed, SECRET) as folder:
        for name, content in FILES.items():
            assert (folder / name).is_file()
            assert (folder / name).read_bytes() == content
            assert (folder / name).is_symlink() == in_memory
    assert list((tmp_path / "scratch").iterdir()) == []
    assert ("is decrypted into" in capsys.readouterr().err) != in_memory


def test_the_format_is_the_one_that_is_documented(sealed: Path) -> None:
    content = sealed.read_bytes()
    assert content[:19] == b"bigmodel sealed 1\n\x02"
    assert COST == 17
    key = Scrypt(salt=content[19:35], length=64, n=4, r=8, p=1).derive(SECRET)
    assert content[35:67] == key[32:]
    body = content[67:]
    blocks = [body[at : at + BLOCK] for at in range(0, len(body), BLOCK)]
    assert len(blocks) == 3
    text = b"".join(
        AESGCM(key[:32]).decrypt(number.to_bytes(11, "big") + bytes([number == 2]), block, None)
        for number, block in enumerate(blocks)
    )
    with tarfile.open(fileobj=io.BytesIO(text)) as tar:
        assert {each.name: tar.extractfile(each).read() for each in tar} == FILES  # type: ignore[union-attr]


def at(place: int) -> Callable[[bytes], bytes]:
    return lambda content: content[:place] + bytes([content[place] ^ 1]) + content[place:][1:]


def blocks(*order: int) -> Callable[[bytes], bytes]:
    def change(content: bytes) -> bytes:
        body = content[HEADER.size :]
        return content[: HEADER.size] + b"".join(body[n * BLOCK : (n + 1) * BLOCK] for n in order)

    return change


CHANGES: dict[str, tuple[Callable[[bytes], bytes], str]] = {
    "magic": (at(0), "is no encrypted export, or its first bytes were changed"),
    "cost": (at(18), "the passphrase is not that of"),
    "a cost that would fill the memory": (
        lambda content: content[:18] + b"\xff" + content[19:],
        "is no encrypted export",
    ),
    "salt": (at(19), "the passphrase is not that of"),
    "check": (at(66), "the passphrase is not that of"),
    "first byte": (at(67), "was changed or cut between byte 67"),
    "second chunk": (at(67 + BLOCK), f"was changed or cut between byte {67 + BLOCK}"),
    "last tag": (at(-1), f"was changed or cut between byte {67 + 2 * BLOCK}"),
    "cut by a byte": (lambda content: content[:-1], "was changed or cut"),
    "cut by a chunk": (blocks(0, 1), "was changed or cut"),
    "cut to its header": (lambda content: content[:67], "was changed or cut between byte 67"),
    "cut within its header": (lambda content: content[:30], "the passphrase is not that of"),
    "empty": (lambda _: b"", "is no encrypted export"),
    "another order": (blocks(1, 0, 2), "was changed or cut between byte 67"),
    "a chunk twice": (blocks(0, 0, 1, 2), "was changed or cut"),
    "longer": (lambda content: content + b"x", "was changed or cut"),
}


@pytest.mark.parametrize("change", CHANGES)
def test_a_change_is_named_and_nothing_is_given(change: str, sealed: Path) -> None:
    do, said = CHANGES[change]
    sealed.write_bytes(do(sealed.read_bytes()))
    with pytest.raises(InputError, match=said), opened(sealed, SECRET):
        pytest.fail("it was opened")


def test_the_command_decrypts_or_leaves_nothing(
    sealed: Path, tmp_path: Path, capsys: pytest.CaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    def decrypt(*arguments: str) -> int:
        return launch.main(["decrypt", str(sealed), "--out", str(tmp_path / "out"), *arguments])

    monkeypatch.setenv(VARIABLE, "wrong horse")
    assert decrypt() == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert "the passphrase is not that of" in line
    assert {path.name for path in tmp_path.iterdir()} == {"plain", "export.sealed"}
    (tmp_path / "secret").write_bytes(SECRET + b"\n")
    (tmp_path / "secret").chmod(0o600)
    assert decrypt("--passphrase-file", str(tmp_path / "secret")) == 0
    assert (tmp_path / "out" / "model").read_bytes() == FILES["model"]
    assert (tmp_path / "out").stat().st_mode & 0o777 == 0o700


@pytest.mark.parametrize("name", ["", "export.sealed"])
def test_what_reads_plain_files_only_says_how_an_export_is_opened(
    name: str, sealed: Path, capsys: pytest.CaptureFixture
) -> None:
    path = str(sealed.parent / name)
    for command in (
        ["card", path],
        ["evaluate", path],
        ["audit", path, "--membership"],
        ["compress", path, "--to", "int8", "--out", f"{sealed.parent}/out"],
        ["export", path, "--format", "safetensors", "--out", f"{sealed.parent}/out"],
        ["compare", path, path],
        ["replay", path],
    ):
        assert launch.main(command) == 2
        (line,) = capsys.readouterr().err.splitlines()
        assert f"launch.py decrypt {path}" in line
    with pytest.raises(InputError, match=r"^--model.from: .* is encrypted; launch.py decrypt"):
        model_from(Path(path), Mlp())
    with pytest.raises(InputError, match=r"^--init.from: .* is encrypted; launch.py decrypt"):
        read_source(Path(path), option="--init.from")


def test_a_passphrase_is_from_a_file_the_environment_or_the_terminal(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    file = tmp_path / "secret"
    for content in (b"", b"\n", b"one\ntwo\n", b"\xff"):
        file.write_bytes(content)
        with pytest.raises(InputError, match="must hold one line of text"):
            read_passphrase(file, tmp_path)
    file.write_bytes(b" e\xcc\x81 \r\n")
    file.chmod(0o640)
    capsys.readouterr()
    assert read_passphrase(file, tmp_path) == " \N{LATIN SMALL LETTER E WITH ACUTE} ".encode()
    assert "can be read by others" in capsys.readouterr().err
    monkeypatch.setenv(VARIABLE, "horse")
    assert read_passphrase(None, tmp_path) == b"horse"
    monkeypatch.delenv(VARIABLE)
    typed = iter(["one", "one", "one", "two"])
    monkeypatch.setattr(getpass, "getpass", lambda _: next(typed))
    assert read_passphrase(None, tmp_path, new=True) == b"one"
    with pytest.raises(InputError, match="two passphrases"):
        read_passphrase(None, tmp_path, new=True)

    def nobody(prompt: str) -> str:
        raise EOFError(prompt)

    monkeypatch.setattr(getpass, "getpass", nobody)
    with pytest.raises(InputError, match=f"in \\${VARIABLE}, on a terminal, or"):
        read_passphrase(None, tmp_path)
