"""The command as a user has it: a process that is asked, and ended."""

import argparse
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from served import Served

import launch
from bigmodel.experiment import InputError
from bigmodel.inference.trained import Trained
from bigmodel.serving import serve

ROOT = Path(__file__).parent.parent.parent


def test_sigterm_answers_what_it_has_and_refuses_what_is_new(
    trained: Callable[..., Trained],
) -> None:
    run = trained("mlp", "--data.name=titanic")
    command = [sys.executable, str(ROOT / "launch.py"), "serve", str(run.path), "--port=0"]
    command.append("--max-wait-ms=3000")
    row = {"sex": "female", "age": 29, "passengerClass": "1st"}
    with (
        subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as server,
        ThreadPoolExecutor(8) as pool,
    ):
        try:
            assert server.stdout is not None
            line = server.stdout.readline()
            found = re.fullmatch(r"\S+: http://127\.0\.0\.1:(\d+) until Ctrl-C\n", line)
            assert found, line
            served = Served(run, int(found[1]))
            asked = [pool.submit(served.ask, {"inputs": [row]}) for _ in range(8)]
            while "queue_inputs 8" not in served.ask(path="/metrics", method="GET").value:
                time.sleep(0.01)
            server.send_signal(signal.SIGTERM)
            assert {each.result().status for each in asked} == {200}
            with pytest.raises(ConnectionRefusedError):
                served.ask(path="/health", method="GET")
            assert server.wait(60) == 0
        finally:
            server.kill()


def options(*words: str) -> argparse.Namespace:
    parsed, _ = launch.parse(["serve", *words])
    return parsed


def test_an_address_that_is_taken_is_named() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(InputError, match=rf"127.0.0.1, port {port}: .* choose another --port"):
            serve.execute(options("runs/none", f"--port={port}"), [])


@pytest.mark.parametrize("host", ["", "\xe4..b", "a\0b"])
def test_what_is_no_address_is_no_other_one(host: str) -> None:
    with pytest.raises(InputError, match=r"^--host '.*' is none; give 127.0.0.1"):
        serve.listen(host, 0)


def test_a_run_that_is_not_there_is_named() -> None:
    with pytest.raises(InputError, match="there is no run directory runs/none"):
        serve.execute(options("runs/none", "--port=0"), [])


def test_a_package_that_is_not_installed_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "uvicorn", None)
    with pytest.raises(InputError, match=r"needs the package uvicorn: pip install -e '.\[serve\]'"):
        serve.execute(options("runs/none"), [])
