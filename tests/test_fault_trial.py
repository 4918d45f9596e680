"""A few of the trials of ``fault_trial.py``; ``python tests/fault_trial.py`` makes many."""

import random
from pathlib import Path

import fault_trial
import pytest

SEED = random.SystemRandom().randrange(10**6)

# Others kill one process at random moments, and launchers' children at fixed ones.
pytestmark = [pytest.mark.slow, pytest.mark.matrix, pytest.mark.xdist_group("fault_trial")]


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, float]:
    training = fault_trial.Training(tmp_path_factory.mktemp("trial") / "whole", 2, 40, 300.0)
    return fault_trial.undisturbed(training)


@pytest.mark.parametrize("kind", ["kill", "term", "flip"])
def test_what_happens_to_a_training_does_not_change_its_end(
    whole: tuple[str, float], kind: str, tmp_path: Path
) -> None:
    digest, seconds = whole
    chance = random.Random(f"{SEED} {kind}")
    training = fault_trial.Training(tmp_path / "run", 2, 40, 300.0)
    moment = chance.uniform(0.3, 1.0) * seconds
    fault_trial.try_once(training, kind, moment=moment, chance=chance)
    assert training.digest() == digest, f"seed {SEED}, {kind} at {moment:.1f} s"
