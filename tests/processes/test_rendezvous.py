import socket
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from bigmodel.errors import JoinError
from bigmodel.experiment import InputError
from bigmodel.processes.rendezvous import rendezvous


@pytest.fixture
def address() -> str:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return f"127.0.0.1:{probe.getsockname()[1]}"


def all_meet(address: str, facts: list[Any], *, count: int, seconds: float = 10.0) -> list[Any]:
    """What comes of each process that is there: None, or its error."""

    def one(rank: int) -> Exception | None:
        try:
            rendezvous(address, rank=rank, count=count, facts=facts[rank], seconds=seconds)
        except (InputError, JoinError) as error:
            return error
        return None

    with ThreadPoolExecutor(len(facts)) as pool:
        return list(pool.map(one, range(len(facts))))


def test_all_that_agree_go_on(address: str) -> None:
    assert all_meet(address, [{"config": {"seed": 1}}] * 4, count=4) == [None] * 4


def test_missing_ranks_are_named_to_all(address: str) -> None:
    first, second = all_meet(address, [{}, {}], count=4, seconds=1.0)
    assert str(first) == f"ranks 2, 3 of 4 did not come to {address} in 1 s"
    assert str(first) in str(second)


def test_what_differs_is_named_with_its_rank(address: str) -> None:
    facts = [{"config": {"model": {"width": width}}, "code": "a"} for width in (32, 32, 64)]
    found = all_meet(address, facts, count=3)
    assert isinstance(found[0], InputError)
    assert "rank 2 is about to do something else" in str(found[0])
    assert "config.model.width is 64 there and 32 here" in str(found[0])
    assert all("config.model.width" in str(error) for error in found)


def test_another_number_of_processes_is_a_difference(address: str) -> None:
    with ThreadPoolExecutor(2) as pool:
        two = pool.submit(rendezvous, address, rank=0, count=2, facts={}, seconds=10.0)
        three = pool.submit(rendezvous, address, rank=1, count=3, facts={}, seconds=10.0)
        with pytest.raises(InputError, match="processes is 3 there and 2 here"):
            two.result()
        with pytest.raises(JoinError, match="processes is 3"):
            three.result()


def test_an_unreachable_first_process_is_named(address: str) -> None:
    with pytest.raises(JoinError, match=f"rank 1 of 2 cannot reach rank 0 at {address} in 1 s"):
        rendezvous(address, rank=1, count=2, facts={}, seconds=1.0)


def test_a_port_in_use_is_refused(address: str) -> None:
    port = int(address.rpartition(":")[2])
    in_use = pytest.raises(InputError, match=f"port {port} is in use")
    with socket.create_server(("", port)), in_use:
        rendezvous(address, rank=0, count=2, facts={}, seconds=1.0)


def test_strangers_are_ignored(address: str) -> None:
    host, _, port = address.rpartition(":")

    def strange() -> None:
        for text in (b"GET / HTTP/1.1\r\n\r\n", b"{}\n", b""):
            while True:
                try:
                    with socket.create_connection((host, int(port)), timeout=5.0) as one:
                        one.sendall(text)
                    break
                except ConnectionRefusedError:
                    continue

    with ThreadPoolExecutor(2) as pool:
        first = pool.submit(rendezvous, address, rank=0, count=2, facts={}, seconds=20.0)
        pool.submit(strange).result()
        rendezvous(address, rank=1, count=2, facts={}, seconds=20.0)
        first.result()
