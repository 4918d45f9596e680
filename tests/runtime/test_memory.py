import jax
import jax.numpy as jnp
import pytest
from jax.sharding import NamedSharding
from jax.sharding import PartitionSpec as P

from bigmodel.experiment import InputError
from bigmodel.runtime.memory import check_fits
from bigmodel.sharding.mesh import MeshShape, make_mesh


def state(rows: int, spec: P) -> dict:
    sharding = NamedSharding(make_mesh(MeshShape(fsdp=8)), spec)
    shape = (8 * rows, 1_000_000)
    return {"kernel": jax.ShapeDtypeStruct(shape, jnp.float32, sharding=sharding)}


@pytest.fixture(autouse=True)
def machine_of_one_gigabyte(monkeypatch: pytest.MonkeyPatch) -> None:
    pages = {"SC_PAGE_SIZE": 1000, "SC_PHYS_PAGES": 1_000_000}
    monkeypatch.setattr("os.sysconf", pages.__getitem__)


def test_a_state_larger_than_the_machine_is_refused_and_the_largest_named() -> None:
    with pytest.raises(
        InputError, match=r"need 32\.0 GB .* 1\.0 GB; the largest is kernel \[8000,"
    ):
        check_fits(state(1000, P("fsdp")))


def test_copies_on_virtual_devices_count_as_often_as_they_are_there() -> None:
    check_fits(state(10, P("fsdp")))
    with pytest.raises(InputError, match=r"need 2\.6 GB"):
        check_fits(state(10, P()))
