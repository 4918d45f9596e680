import socket

import pytest

from bigmodel.experiment import InputError
from bigmodel.launching.layout import Layout, coordinator, plan_layout, rank_environment


def test_devices_are_shared_out() -> None:
    layout = plan_layout(processes=4, devices=8, port=None)
    assert (layout.devices, list(layout.ranks)) == (2, [0, 1, 2, 3])
    assert rank_environment(layout, 3, "h:1")["JAX_NUM_CPU_DEVICES"] == "2"


def test_each_process_has_a_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("JAX_PLATFORMS", raising=False)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "4,6")
    layout = plan_layout(processes=2, devices=None, port=None)
    assert rank_environment(layout, 1, "h:1")["CUDA_VISIBLE_DEVICES"] == "6"
    with pytest.raises(InputError, match="--processes is 3 and this machine has 2 GPUs"):
        plan_layout(processes=3, devices=None, port=None)


def test_each_host_has_its_ranks_and_knows_the_first() -> None:
    hosts = ["alpha", socket.gethostname()]
    layout = plan_layout(processes=2, devices=None, port=None, hosts=hosts)
    assert (list(layout.ranks), layout.total) == ([2, 3], 4)
    assert coordinator(layout) == "alpha:12355"
    with pytest.raises(InputError, match="say it by --host-index"):
        plan_layout(processes=1, devices=None, port=None, hosts=["alpha", "beta"])


@pytest.mark.parametrize(("lost", "left"), [(1, 4), (4, 4), (5, 2), (7, 1), (8, 1)])
def test_what_is_left_divides_what_was(lost: int, left: int) -> None:
    assert Layout(local=8, total=8).reduced(lost).total == left


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"processes": 0}, "--processes is 0"),
        ({"devices": 0}, "--devices is 0"),
        ({"processes": 4, "devices": 2}, "--processes 4 does not divide --devices 2"),
        ({"port": 70000}, "--port is 70000"),
        ({"host_index": 1}, "--host-index needs --hosts"),
        ({"hosts": ["a", "b"], "host_index": 2}, "--host-index is 2"),
    ],
)
def test_wrong_numbers_are_refused(options: dict, message: str) -> None:
    with pytest.raises(InputError, match=message):
        plan_layout(**{"processes": 1, "devices": None, "port": None, **options})


def test_a_port_in_use_is_refused() -> None:
    with socket.socket() as taken:
        taken.bind(("", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(InputError, match=f"--port {port} cannot be used"):
            coordinator(Layout(port=port))
