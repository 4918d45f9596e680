"""The rendezvous of a run's processes, before JAX joins them.

JAX itself ends a process without a Python error where the coordinator cannot be reached, its
port is taken or a process is missing. So all processes first come to the coordinator's address
with what they are about to do. The first one compares and answers; then it leaves the port to
JAX.
"""

from __future__ import annotations

import contextlib
import errno
import json
import socket
import time
from collections.abc import Mapping
from typing import Any

from bigmodel.config import differences
from bigmodel.errors import JoinError
from bigmodel.experiment import InputError

COORDINATOR, COUNT = "BIGMODEL_COORDINATOR", "BIGMODEL_PROCESSES"
"""Environment variables set by the launcher: ``host:port`` and the number of processes."""
JOIN_SECONDS = "BIGMODEL_JOIN_SECONDS"
RESUMES = "BIGMODEL_RESUMES"
"""Set by a job scheduler's script that starts a process of status 75 again."""
LONGEST = 1 << 24
"""Bytes of the longest message; a longer one is not from a process of this run."""

LATE = 2.0
"""Seconds in which late processes are still told about a problem."""


def rendezvous(
    address: str, *, rank: int, count: int, facts: Mapping[str, Any], seconds: float
) -> None:
    """Waits for all processes and checks that they run the same code and config.

    The process of rank 0 has the address, ``host:port``. What must be the same for all are the
    facts, as JSON values.

    Raises:
        InputError: where the port is in use or the facts differ, naming rank and difference.
        JoinError: where a process is missing or the first one cannot be reached; it names
            the address and the ranks.
    """
    host, _, port = address.rpartition(":")
    deadline = time.monotonic() + seconds
    if rank == 0:
        _receive_all(address, int(port), count, dict(facts), seconds, deadline)
    else:
        message = {"rank": rank, "count": count, "facts": facts}
        _report(address, (host.strip("[]"), int(port)), message, seconds, deadline)


def _receive_all(
    address: str, port: int, count: int, facts: Mapping[str, Any], seconds: float, deadline: float
) -> None:
    present: dict[int, socket.socket] = {}
    problem: Exception | None = None
    with contextlib.ExitStack() as opened:
        server = opened.enter_context(_listen(port))
        while len(present) < count - 1:
            server.settimeout(max(deadline - time.monotonic(), 0.01))
            try:
                visitor = opened.enter_context(server.accept()[0])
                visitor.settimeout(5.0)
                message = _read(visitor)
                rank = int(message["rank"])
                theirs = {"processes": message["count"], **message["facts"]}
            except (OSError, ValueError, KeyError, TypeError):
                # A stranger, or nobody in time.
                if time.monotonic() < deadline:
                    continue
                missing = sorted({*range(1, count)} - {*present})
                ranks = f"rank{'s' * (len(missing) > 1)} {', '.join(map(str, missing))}"
                problem = problem or JoinError(
                    f"{ranks} of {count} did not come to {address} in {seconds:g} s"
                )
                break
            differing = list(differences(theirs, {"processes": count, **facts}).values())
            if differing:
                problem = InputError(
                    f"rank {rank} is about to do something else than rank 0: "
                    f"{'; '.join(differing[:5])}"
                )
            elif rank in present or not 0 < rank < count:
                problem = InputError(f"a second process came to {address} as rank {rank}")
            present[rank] = visitor
            if problem is not None:
                # The others are told as well, if they come now.
                deadline = min(deadline, time.monotonic() + LATE)
        for visitor in present.values():
            with contextlib.suppress(OSError):
                _write(visitor, {"error": None if problem is None else str(problem)})
    if problem is not None:
        raise problem


def _listen(port: int) -> socket.socket:
    try:
        if socket.has_dualstack_ipv6():
            return socket.create_server(("", port), family=socket.AF_INET6, dualstack_ipv6=True)
        return socket.create_server(("", port))
    except (OSError, OverflowError) as error:
        if getattr(error, "errno", None) != errno.EADDRINUSE:
            raise InputError(f"cannot listen on port {port}: {error}") from None
        raise InputError(f"port {port} is in use; choose another one, or none") from None


def _report(
    address: str, where: tuple[str, int], message: Any, seconds: float, deadline: float
) -> None:
    reason = "no answer"
    while time.monotonic() < deadline:
        try:
            with socket.create_connection(where, timeout=5.0) as connection:
                _write(connection, message)
                # The first process answers when it has waited for all.
                connection.settimeout(seconds + 10.0)
                answer = _read(connection)
        except (OSError, ValueError, OverflowError) as error:
            reason = getattr(error, "strerror", None) or str(error)
            time.sleep(0.2)
            continue
        if answer["error"] is not None:
            raise JoinError(f"rank 0 says: {answer['error']}")
        # JAX's client backs off for a second where its service does not listen yet.
        time.sleep(0.2)
        return
    raise JoinError(
        f"rank {message['rank']} of {message['count']} cannot reach rank 0 at {address} "
        f"in {seconds:g} s: {reason}"
    )


def _write(connection: socket.socket, message: Any) -> None:
    connection.sendall(json.dumps(message).encode() + b"\n")


def _read(connection: socket.socket) -> Any:
    with connection.makefile("rb") as stream:
        line = stream.readline(LONGEST)
    if not line.endswith(b"\n"):
        raise ValueError("the message is not whole")
    return json.loads(line)
