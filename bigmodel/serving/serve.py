"""Answers requests over HTTP with a trained run, and shows a page to try it.

    python launch.py serve runs/cnn-5e16c17c
    curl localhost:8000/predict --data-binary @digit.png -H 'Content-Type: image/png'
    curl localhost:8000/predict --json '{"inputs": ["a text"], "top": 3}'

POST /predict takes JSON, a form with files, or a file as the body: an image, a CSV, lines of
text. An image in JSON is base64 of a file, or an array. The answer is {"predictions": [...],
"warnings": [...]}, an error {"error": "one line"}. Requests of the same moment are computed
together. GET /health and GET /metrics (Prometheus) watch it. SIGTERM ends it when what it has is
answered. --token-file lets only those ask who give the token in the file, and --log writes a line
of each request without its contents: see docs/protection.md. It has no TLS: put a proxy in front of
it where others reach it. What comes after -- changes options of the run that matter here, such as
those of sampling.
"""

from __future__ import annotations

import argparse
import gc
import signal
import socket
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from bigmodel.experiment import InputError
from bigmodel.inference.predict import ASKED, add_run, positive
from bigmodel.protection.secrets import add_passphrase


def add_options(parser: argparse.ArgumentParser) -> None:
    """Adds the options of the command."""
    add_run(parser, ASKED)
    add = parser.add_argument
    add("--host", default="127.0.0.1", help="address to listen on (default: 127.0.0.1)")
    add("--port", type=int, default=8000, help="0 is a free one (default: 8000)")
    add("--batch-size", type=positive, default=64, help="inputs computed at once (default: 64)")
    add("--max-wait-ms", type=float, default=2.0, help="wait for others to join (default: 2)")
    add("--max-body", type=positive, default=16, metavar="MB", help="of a request (default: 16)")
    add("--queue", type=positive, default=1024, help="inputs that may wait (default: 1024)")
    add("--timeout", type=float, default=30.0, metavar="SECONDS", help="default: 30")
    add("--token-file", type=Path, metavar="FILE", help="has the token that requests must give")
    add("--log", type=Path, metavar="FILE", help="gets a line of JSON for each request")
    add_passphrase(parser)


def execute(parsed: argparse.Namespace, options: Sequence[str]) -> int:
    """Serves until SIGTERM or Ctrl-C.

    Raises:
        InputError: for a run that cannot be used, or an address that cannot be listened on.
        StorageError: for files that cannot be read.
    """
    try:
        import uvicorn

        from bigmodel.serving.access import appending, read_token, with_log, with_token
        from bigmodel.serving.application import Limits, application
    except ModuleNotFoundError as error:
        raise InputError(
            f"serve needs the package {error.name}: pip install -e '.[serve]'"
        ) from None
    # Imported here, for other commands start without JAX.
    from bigmodel.inference.loading import load

    for option in ("max_wait_ms", "timeout"):
        if not 0 <= getattr(parsed, option) < float("inf"):
            raise InputError(f"--{option.replace('_', '-')} is no time; use a number from 0 on")
    limits = Limits(
        parsed.batch_size,
        parsed.max_wait_ms / 1000,
        parsed.max_body * 1_000_000,
        parsed.queue,
        parsed.timeout,
    )
    token = None if parsed.token_file is None else read_token(parsed.token_file)
    write = None if parsed.log is None else appending(parsed.log)
    with listen(parsed.host, parsed.port) as listening:
        where = {"script": parsed.script, "passphrase_file": parsed.passphrase_file}
        app: Any = application(load(parsed.run, parsed.at, options=options, **where), limits)
        app = app if token is None else with_token(app, token)
        config = uvicorn.Config(
            app if write is None else with_log(app, write),
            access_log=False,
            log_level="warning",
            server_header=False,
            proxy_headers=False,
            ws="none",
        )
        server = uvicorn.Server(config)
        # It drains on a signal, and raises that again afterwards: for SIGTERM that is its end.
        signal.signal(signal.SIGTERM, server.handle_exit)
        # Lists of parsed JSON would let every collection go through all objects of JAX.
        gc.collect()
        gc.freeze()
        gc.set_threshold(50_000, 20, 50)
        host, port = listening.getsockname()[:2]
        address = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
        print(f"{parsed.run}: http://{address} until Ctrl-C", flush=True)
        server.run([listening])
    return 0


def listen(host: str, port: int) -> socket.socket:
    """A socket that listens.

    Raises:
        InputError: the address cannot be had.
    """
    # The system would take an empty one for all addresses.
    if not (host and host.isascii() and host.isprintable()):
        raise InputError(f"--host {host!r} is none; give 127.0.0.1, or 0.0.0.0 for all addresses")
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        return socket.create_server((host, port), family=family, backlog=2048)
    except (OSError, OverflowError) as error:
        reason = getattr(error, "strerror", None) or error
        raise InputError(
            f"cannot listen on {host}, port {port}: {reason}; choose another --port or --host"
        ) from None
