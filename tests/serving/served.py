"""A trained run behind a server of this process."""

import contextlib
import http.client
import json
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import pytest

for package in ("starlette", "uvicorn", "orjson"):
    pytest.importorskip(package)

# ruff: noqa: E402
import uvicorn

from bigmodel.inference.trained import Trained
from bigmodel.serving.application import Limits, application

JSON = {"Content-Type": "application/json"}


class Answer(NamedTuple):
    """A response: its status, and the value in its JSON or its text."""

    status: int
    value: Any
    headers: http.client.HTTPMessage


class Served(NamedTuple):
    """A run, and the port of a server that has it."""

    run: Trained
    port: int

    def ask(
        self,
        body: Any = None,
        headers: dict[str, str] | None = None,
        *,
        path: str = "/predict",
        method: str = "POST",
    ) -> Answer:
        """The answer to a request; an object or a list is sent as JSON."""
        if isinstance(body, dict | list):
            body, headers = json.dumps(body), JSON
        with contextlib.closing(
            http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        ) as connection:
            connection.request(method, path, body, headers or {})
            response = connection.getresponse()
            content = response.read()
            is_json = response.headers.get_content_type() == "application/json"
            value = json.loads(content) if is_json else content.decode()
            return Answer(response.status, value, response.headers)


@contextlib.contextmanager
def serving(
    run: Trained, limits: Limits, around: Callable[[Any], Any] = lambda app: app
) -> Iterator[Served]:
    config = uvicorn.Config(
        around(application(run, limits)), port=0, log_level="warning", ws="none"
    )
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run)
    thread.start()
    try:
        while not server.started:
            time.sleep(0.01)
        yield Served(run, server.servers[0].sockets[0].getsockname()[1])
    finally:
        server.should_exit = True
        thread.join()
