"""Who may ask a server, and who has: a token, and a log of requests without what is in them."""

from __future__ import annotations

import datetime
import hmac
import os
import re
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from starlette.responses import HTMLResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from bigmodel.errors import naming
from bigmodel.experiment import InputError
from bigmodel.output import note, warn
from bigmodel.protection.secrets import read_line
from bigmodel.serving.bodies import dump

PAGE = Path(__file__).with_name("token.html")
PATHS = ("/", "/predict", "/health", "/metrics")
"""Those that a log names; others could hold an input."""
SHORT = 16
ASK = "this server wants a token: Authorization: Bearer TOKEN"


def read_token(path: Path) -> str:
    """The token in a file.

    Raises:
        InputError: there is none, or it has characters that a header cannot have (RFC 6750).
        StorageError: the file cannot be read.
    """
    token = read_line(path, "--token-file")
    make = f"make one by openssl rand -hex 32 > {path}"
    if not re.fullmatch(r"[A-Za-z0-9._~+/-]+=*", token):
        raise InputError(f"--token-file {path} has other characters than a token may have; {make}")
    if len(token) < SHORT:
        warn(f"the token in {path} is short enough to be guessed; {make}")
    return token


def with_token(app: ASGIApp, token: str) -> ASGIApp:
    """Lets only those in who give the token, and others know of ``/health`` that it is well.

    A browser gets a page that asks for the token instead of the page that shows the run.
    """
    page = PAGE.read_text(encoding="utf-8")

    async def guarded(scope: Scope, receive: Receive, send: Send) -> None:
        headers = dict(scope.get("headers", ()))
        scheme, _, given = headers.get(b"authorization", b"").partition(b" ")
        known = hmac.compare_digest(given.strip(), token.encode()) and scheme.lower() == b"bearer"
        if scope["type"] != "http" or known:
            await app(scope, receive, send)
            return
        challenge, json = {"WWW-Authenticate": "Bearer"}, "application/json"
        answer = Response(dump({"error": ASK}), 401, challenge, json)
        if scope["method"] in ("GET", "HEAD"):
            if scope["path"] == "/health":
                answer = Response(dump({"status": "ok"}), media_type=json)
            elif scope["path"] == "/" and b"text/html" in headers.get(b"accept", b""):
                answer = HTMLResponse(page, 401, challenge)
        await answer(scope, receive, send)

    return guarded


def with_log(app: ASGIApp, write: Callable[[Mapping[str, Any]], None]) -> ASGIApp:
    """Has a line written of each request when it has its answer.

    It has the time, the client's address, the method, the path where it is one of the server's,
    the status (null where the client has gone before), milliseconds, and bytes of both bodies.
    """

    async def logged(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await app(scope, receive, send)
            return
        path, client = scope["path"], scope["client"]
        line: dict[str, Any] = {
            "time": datetime.datetime.now(datetime.UTC).isoformat(timespec="milliseconds"),
            "address": client[0] if client else None,
            "method": scope["method"],
            "path": path if path in PATHS else "other",
            "status": None,
        }
        began, taken, sent = time.perf_counter(), 0, 0

        async def taking() -> Message:
            nonlocal taken
            message = await receive()
            taken += len(message.get("body", b""))
            return message

        async def sending(message: Message) -> None:
            nonlocal sent
            line["status"] = message.get("status", line["status"])
            sent += len(message.get("body", b""))
            await send(message)

        try:
            await app(scope, taking, sending)
        finally:
            ms = round(1000 * (time.perf_counter() - began), 3)
            write({**line, "ms": ms, "bytes_in": taken, "bytes_out": sent})

    return logged


def appending(path: Path) -> Callable[[Mapping[str, Any]], None]:
    """Appends lines of JSON to a file that only its owner can read, each by one write.

    Raises:
        StorageError: it cannot be opened. Later failures are told once, and requests go on.
    """
    with naming(path):
        descriptor = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)

    def write(line: Mapping[str, Any]) -> None:
        try:
            os.write(descriptor, dump(line) + b"\n")
        except OSError as error:
            note(f"cannot write {path}, and requests go on without it: {error.strerror}")

    return write
