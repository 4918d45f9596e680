"""A real browser, by the WebDriver protocol of ChromeDriver."""

import base64
import contextlib
import json
import shutil
import socket
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

ELEMENT = "element-6066-11e4-a52e-4f735466cecf"
"""The name under which the protocol gives an element."""
FLAGS = (
    "--headless", "--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-sync",
    "--disable-background-networking", "--disable-component-update", "--disable-dev-shm-usage",
    "--window-size=1000,760",
)  # fmt: skip


class Browser:
    """A session of the browser."""

    def __init__(self, port: int, profile: Path) -> None:
        self._url = f"http://127.0.0.1:{port}/session"
        options = {
            "args": [*FLAGS, f"--user-data-dir={profile}"],
            "binary": shutil.which("chromium"),
        }
        wanted = {"goog:chromeOptions": options, "goog:loggingPrefs": {"browser": "ALL"}}
        for _ in range(100):
            with contextlib.suppress(urllib.error.URLError):
                made = self("POST", "", capabilities={"alwaysMatch": wanted})
                self._url += f"/{made['sessionId']}"
                return
            time.sleep(0.1)
        raise TimeoutError

    def __call__(self, method: str, path: str, **values: Any) -> Any:
        """The value of a command."""
        body = json.dumps(values).encode() if method == "POST" else None
        request = urllib.request.Request(self._url + path, body, method=method)
        with urllib.request.urlopen(request, timeout=60) as response:
            return json.load(response)["value"]

    def open(self, url: str) -> None:
        self("POST", "/url", url=url)

    def find(self, selector: str) -> str:
        """The path of the first element that fits."""
        found = self("POST", "/element", using="css selector", value=selector)
        return f"/element/{found[ELEMENT]}"

    def click(self, selector: str) -> None:
        self("POST", f"{self.find(selector)}/click")

    def write(self, selector: str, text: str) -> None:
        self("POST", f"{self.find(selector)}/clear")
        self("POST", f"{self.find(selector)}/value", text=text)

    def run(self, script: str) -> Any:
        """What a script returns."""
        return self("POST", "/execute/sync", script=script, args=[])

    def wait(self, script: str) -> Any:
        """What a script returns as soon as that is true."""
        for _ in range(150):
            if found := self.run(script):
                return found
            time.sleep(0.1)
        raise TimeoutError(f"{script}: {self.run('return document.body.innerText')}")

    def draw(self, selector: str, points: list[tuple[int, int]]) -> None:
        """Draws a line on an element; points are from its centre."""
        origin = {ELEMENT: self.find(selector).removeprefix("/element/")}
        moves = [
            {"type": "pointerMove", "duration": 20, "x": x, "y": y, "origin": origin}
            for x, y in points
        ]
        moves[1:1] = [{"type": "pointerDown", "button": 0}]
        mouse = {
            "type": "pointer",
            "id": "mouse",
            "actions": [*moves, {"type": "pointerUp", "button": 0}],
        }
        self("POST", "/actions", actions=[mouse])

    def errors(self) -> list[str]:
        """What the console says since it was last asked."""
        return [line["message"] for line in self("POST", "/se/log", type="browser")]

    def screenshot(self, path: Path) -> None:
        path.write_bytes(base64.b64decode(self("GET", "/screenshot")))


@contextlib.contextmanager
def browser(profile: Path) -> Iterator[Browser]:
    """A browser; the test is skipped where there is none."""
    if not (shutil.which("chromedriver") and shutil.which("chromium")):
        pytest.skip("needs chromium and chromedriver")
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    driver = subprocess.Popen(["chromedriver", f"--port={port}"], stdout=subprocess.DEVNULL)
    session = None
    try:
        session = Browser(port, profile)
        yield session
    finally:
        if session is not None:
            session("DELETE", "")
        driver.terminate()
        driver.wait()
