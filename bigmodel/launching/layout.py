"""The processes to start on this machine, with their ranks and devices."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from bigmodel.experiment import InputError
from bigmodel.launching.job import check_positive
from bigmodel.output import RANK
from bigmodel.processes.rendezvous import COORDINATOR, COUNT

PORT = 12355
"""Of the coordinator where several hosts have to know it beforehand."""


class Layout(NamedTuple):
    """The processes of a run.

    ``local`` are started by this launcher, with ranks from ``first``; there are ``total``.
    ``host`` is where rank 0 is; ``port`` is None where any free one will do. ``devices`` are
    the virtual CPU devices of each process; ``gpus`` the identifiers of this machine's GPUs.
    """

    local: int = 1
    first: int = 0
    total: int = 1
    host: str = "127.0.0.1"
    port: int | None = None
    devices: int | None = None
    gpus: tuple[str, ...] = ()

    @property
    def ranks(self) -> range:
        """The ranks of this machine."""
        return range(self.first, self.first + self.local)

    def environment(self, rank: int) -> dict[str, str]:
        """Environment variables of a process other than the coordinator's address."""
        found = {}
        if self.devices is not None:
            found["JAX_NUM_CPU_DEVICES"] = str(self.devices)
        if self.gpus and self.total > 1:
            found["CUDA_VISIBLE_DEVICES"] = self.gpus[rank - self.first]
        return found

    def reduced(self, lost: int) -> Layout:
        """The layout after losing processes: the largest divisor of their number that is left.

        A divisor, so that what divided a batch or a mesh still divides it.
        """
        left = max(1, self.local - lost)
        local = next(n for n in range(left, 0, -1) if self.local % n == 0)
        return self._replace(local=local, total=local)


def plan_layout(
    *,
    processes: int,
    devices: int | None,
    port: int | None,
    hosts: Sequence[str] = (),
    host_index: int | None = None,
) -> Layout:
    """The layout described by the options.

    ``processes`` and ``devices``, virtual ones of the CPU, are those of each host. On one machine
    the port is by default any free one. Of several hosts the one of rank 0 comes first; which of
    them this machine is, ``host_index``, is by default found by name.

    Raises:
        InputError: where they make no sense together.
    """
    check_positive("processes", processes)
    check_positive("devices", devices)
    if devices is not None and devices % processes:
        raise InputError(
            f"--processes {processes} does not divide --devices {devices}; "
            "each process needs as many, and at least one"
        )
    if port is not None and not 0 < port < 65536:
        raise InputError(f"--port is {port}; it must be between 1 and 65535")
    gpus = find_gpus()
    if gpus and processes > len(gpus):
        raise InputError(f"--processes is {processes} and this machine has {len(gpus)} GPUs")
    layout = Layout(
        local=processes,
        total=processes,
        port=port,
        devices=None if devices is None else devices // processes,
        gpus=gpus,
    )
    if not hosts:
        if host_index is not None:
            raise InputError("--host-index needs --hosts")
        return layout
    index = _index_of_this_host(hosts) if host_index is None else host_index
    if not 0 <= index < len(hosts):
        raise InputError(f"--host-index is {index}; it must be below {len(hosts)}, the hosts")
    return layout._replace(
        first=index * processes,
        total=len(hosts) * processes,
        host=hosts[0],
        port=PORT if port is None else port,
    )


def find_gpus() -> tuple[str, ...]:
    """The identifiers of the NVIDIA GPUs that a process started here would see."""
    platforms = os.environ.get("JAX_PLATFORMS", "cuda")
    if "cuda" not in platforms and "gpu" not in platforms:
        return ()
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    if visible is not None:
        return tuple(name.strip() for name in visible.split(",") if name.strip())
    if shutil.which("nvidia-smi") is None:
        return ()
    command = ["nvidia-smi", "--list-gpus"]
    listed = subprocess.run(command, capture_output=True, encoding="utf-8", check=False, timeout=60)
    count = sum(line.startswith("GPU ") for line in listed.stdout.splitlines())
    return tuple(str(index) for index in range(count))


def coordinator(layout: Layout) -> str:
    """The address of rank 0; raises InputError where its port is in use on this machine."""
    if layout.port is None:
        with socket.socket() as probe:
            probe.bind(("", 0))
            return f"{layout.host}:{probe.getsockname()[1]}"
    if layout.first == 0:
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("", layout.port))
            except OSError as error:
                raise InputError(
                    f"--port {layout.port} cannot be used: {error.strerror}; choose another"
                ) from None
    return f"{layout.host}:{layout.port}"


def rank_environment(layout: Layout, rank: int, address: str) -> Mapping[str, str]:
    """Environment variables with the process information of a rank."""
    return {
        COORDINATOR: address,
        COUNT: str(layout.total),
        RANK: str(rank),
        **layout.environment(rank),
    }


def _index_of_this_host(hosts: Sequence[str]) -> int:
    names = {socket.gethostname(), socket.gethostname().partition(".")[0], socket.getfqdn()}
    found = [index for index, host in enumerate(hosts) if host in names]
    if len(found) != 1:
        raise InputError(
            f"which of --hosts {','.join(hosts)} is this machine, {socket.gethostname()}? "
            "say it by --host-index"
        )
    return found[0]
