from dataclasses import dataclass

import pytest

from bigmodel.config import with_values
from bigmodel.models.texts.gpt import Gpt
from bigmodel.planning.planning import as_options
from bigmodel.planning.search import climb, first_choice
from bigmodel.runtime.settings import Settings
from bigmodel.sharding.mesh import MeshShape

FIRST = {"mesh.data": None, "mesh.fsdp": 1, "data.batch_size": 64, "model.remat": False}


@dataclass(frozen=True)
class Data:
    batch_size: int = 16


@dataclass(frozen=True)
class Config(Settings):
    data: Data = Data()
    model: Gpt = Gpt()


def machine(choice) -> float | None:
    """A state of 80 over fsdp, activations of 1 an example, a fifth with remat; room for 40."""
    if choice["mesh.fsdp"] > 8:
        return None
    activations = choice["data.batch_size"] * (0.2 if choice["model.remat"] else 1.0)
    lacking = 80 / choice["mesh.fsdp"] + activations - 40
    if lacking > 0:
        return -lacking
    speed = choice["data.batch_size"] * (0.75 if choice["model.remat"] else 1.0)
    return speed - choice["mesh.fsdp"] / 10


def test_it_climbs_to_the_best_that_fits() -> None:
    found = climb(FIRST, 8, machine, tries=100)
    choice, score = max(found, key=lambda one: one[1])
    batches = [2**power for power in range(11)]
    best = max(
        (machine({**FIRST, "mesh.fsdp": f, "data.batch_size": b, "model.remat": r}), f, b, r)
        for f in (1, 2, 4, 8)
        for b in batches
        for r in (False, True)
    )
    assert (score, choice["data.batch_size"], choice["model.remat"]) == (best[0], best[2], best[3])
    assert choice["mesh.fsdp"] == best[1]


def test_what_does_not_fit_is_not_tried_with_a_larger_batch() -> None:
    tried: list[tuple[bool, int]] = []

    def score(choice) -> float:
        tried.append((choice["model.remat"], choice["data.batch_size"]))
        fits = choice["model.remat"] and choice["data.batch_size"] <= 512
        return choice["data.batch_size"] if fits else -1

    climb({**FIRST, "model.remat": True}, 1, score, tries=100)
    assert tried == [(True, 64), (False, 64), (True, 128), (True, 256), (True, 512), (True, 1024)]


@pytest.mark.parametrize("tries", [1, 4])
def test_it_tries_no_choice_twice_and_no_more_than_told(tries) -> None:
    tried = []

    def score(choice) -> float | None:
        tried.append(choice)
        return machine(choice)

    climb(FIRST, 8, score, tries=tries)
    assert len(tried) == tries
    assert all(tried.count(choice) == 1 for choice in tried)


def test_a_choice_goes_into_the_config_and_reads_as_options() -> None:
    config = Config(mesh=MeshShape(fsdp=4))
    choice = first_choice(config, 8)
    assert choice["mesh.fsdp"] == 4
    # The batch is one that the devices divide.
    assert [first_choice(config, n)["data.batch_size"] for n in (1, 6, 8)] == [16, 18, 16]
    changed = with_values(config, {**choice, "data.batch_size": 32, "model.remat": True})
    assert (changed.data.batch_size, changed.model.remat, changed.mesh.fsdp) == (32, True, 4)
    written = as_options({"mesh.data": None, "data.batch_size": 32, "model.remat": False})
    assert written == "--data.batch-size 32 --model.no-remat"
