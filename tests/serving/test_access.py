"""Who may ask a server, and what is written of who has."""

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("starlette")

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from bigmodel.experiment import InputError
from bigmodel.serving.access import appending, read_token, with_log, with_token

TOKEN = "0123456789abcdef"


async def _echo(request: Request) -> Response:
    return Response(await request.body() or b"a page")


SERVER = Starlette(routes=[Route(path, _echo, methods=["GET", "POST"])
                           for path in ("/", "/predict", "/health", "/metrics")])  # fmt: skip


def ask(app: Any, path: str, body: bytes = b"", method: str = "GET", **headers: str) -> Any:
    """The status, the headers and the body of an answer."""
    sent: list[Any] = []
    scope = {
        "type": "http", "method": method, "path": path, "query_string": b"top=secret",
        "headers": [(name.encode(), value.encode()) for name, value in headers.items()],
        "client": ("10.0.0.7", 1), "root_path": "",
    }  # fmt: skip

    async def receive() -> Any:
        return {"type": "http.request", "body": body, "more_body": False}

    async def send(message: Any) -> None:
        sent.append(message)

    asyncio.run(app(scope, receive, send))
    content = b"".join(message.get("body", b"") for message in sent)
    return sent[0]["status"], dict(sent[0]["headers"]), content


@pytest.mark.parametrize("path", ["/", "/predict", "/metrics", "/none", "/health/", "//health"])
@pytest.mark.parametrize(
    "given",
    ["", "Bearer", "Bearer ", TOKEN, f"Basic {TOKEN}", f"Bearer {TOKEN}0", f"Bearer {TOKEN[:-1]}",
     f"Bearer {TOKEN} {TOKEN}", "Bearer \N{LATIN SMALL LETTER E WITH ACUTE}"],
)  # fmt: skip
def test_nobody_asks_without_the_token(path: str, given: str) -> None:
    app = with_token(SERVER, TOKEN)
    headers = {"authorization": given} if given else {}
    for method in ("GET", "POST"):
        status, answered, content = ask(app, path, method=method, **headers)
        assert status == 401
        assert answered[b"www-authenticate"] == b"Bearer"
        assert "Bearer TOKEN" in json.loads(content)["error"]


def test_with_the_token_all_is_as_without() -> None:
    app = with_token(SERVER, TOKEN)
    for scheme in ("Bearer", "bearer"):
        answer = ask(app, "/predict", b"x", "POST", authorization=f"{scheme} {TOKEN}")
        assert (answer[0], answer[2]) == (200, b"x")
    assert ask(app, "/none", authorization=f"Bearer {TOKEN}")[0] == 404


def test_a_probe_learns_only_that_all_is_well_and_a_browser_is_asked() -> None:
    app = with_token(SERVER, TOKEN)
    assert ask(app, "/health")[2] == b'{"status":"ok"}'
    assert ask(app, "/health", method="POST")[0] == 401
    assert ask(app, "/health", authorization=f"Bearer {TOKEN}")[2] == b"a page"
    status, _, content = ask(app, "/", accept="text/html,*/*")
    assert status == 401
    assert b"Token of this server" in content


def test_a_log_has_who_asked_and_nothing_of_what(tmp_path: Path) -> None:
    path = tmp_path / "requests.jsonl"
    app = with_log(with_token(SERVER, TOKEN), appending(path))
    known = {"authorization": f"Bearer {TOKEN}"}
    ask(app, "/predict", b"secret text", "POST", **known)
    ask(app, "/predict", b"secret text", "POST")
    ask(app, "/secret", **known)
    text = path.read_text()
    assert "secret" not in text
    assert TOKEN not in text
    lines = [json.loads(line) for line in text.splitlines()]
    assert [line["status"] for line in lines] == [200, 401, 404]
    assert [line["path"] for line in lines] == ["/predict", "/predict", "other"]
    assert [line["bytes_in"] for line in lines] == [11, 0, 0]
    assert lines[0]["bytes_out"] == 11
    assert lines[0]["address"] == "10.0.0.7"
    assert path.stat().st_mode & 0o777 == 0o600


def test_a_request_that_breaks_has_a_line_too() -> None:
    async def broken(*_: Any) -> None:
        raise RuntimeError

    lines: list[Any] = []
    with pytest.raises(RuntimeError):
        ask(with_log(broken, lines.append), "/predict")
    assert [line["status"] for line in lines] == [None]


@pytest.mark.parametrize(
    ("content", "said"),
    [("", "one line of text"), ("\n\n", "one line of text"), ("a b" * 9, "other characters"),
     ("a\nb", "one line of text"), ("\N{SNOWMAN}" * 16, "other characters")],
)  # fmt: skip
def test_what_is_no_token_is_said(content: str, said: str, tmp_path: Path) -> None:
    (tmp_path / "token").write_text(content, encoding="utf-8")
    with pytest.raises(InputError, match=said):
        read_token(tmp_path / "token")


def test_a_token_that_is_no_secret_is_warned_of(tmp_path: Path, capsys: Any) -> None:
    file = tmp_path / "token"
    file.write_text(f"{TOKEN}\n")
    file.chmod(0o600)
    assert read_token(file) == TOKEN
    assert capsys.readouterr().err == ""
    file.write_text("short")
    file.chmod(0o644)
    assert read_token(file) == "short"
    said = capsys.readouterr().err
    assert "can be read by others" in said
    assert "short enough to be guessed" in said
