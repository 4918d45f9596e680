"""The codebook of a run as what another run draws with."""

import shutil
from pathlib import Path

import jax
import numpy as np
import pytest
from test_contract import ROOT, build, run

import bigmodel
from bigmodel.experiment import InputError
from bigmodel.inference.teaching import load_codebook
from bigmodel.models.text_to_image import CODES
from bigmodel.training import Tokens

pytestmark = pytest.mark.matrix
SCRIPT = ROOT / "experiments" / "text_to_image.py"


@pytest.fixture(scope="module")
def learned(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("learned") / "vqvae"
    assert run(build(ROOT / "experiments" / "vqvae.py"), path, steps=2, eval_every=2) == 0
    return path


def test_a_run_draws_with_the_codebook_of_another_that_may_be_gone(
    learned: Path, tmp_path: Path
) -> None:
    shutil.copytree(learned, tmp_path / "vqvae")
    built = build(SCRIPT, f"--tokens.run={tmp_path / 'vqvae'}")
    assert built.experiment.data.fingerprint != build(SCRIPT).experiment.data.fingerprint
    assert run(built, tmp_path / "run", steps=2, eval_every=2) == 0
    shutil.rmtree(tmp_path / "vqvae")
    one = bigmodel.load(tmp_path / "run")
    own, whole = one.variables["params"][CODES], bigmodel.load(learned).variables["params"]
    jax.tree.map(np.testing.assert_array_equal, own, whole)
    assert one.build().data.fingerprint == built.experiment.data.fingerprint
    asked = ["seven", {"class": "seven", "seed": 0}, {"class": "seven", "seed": 3}]
    first, same, other = (answer["image"] for answer in one.predict(asked))
    assert first.shape == (8, 8, 1)
    np.testing.assert_array_equal(first, same)
    assert not np.array_equal(first, other)
    with pytest.raises(InputError, match=r"^input 1: 'sevven' has no word of those .*, such as "):
        one.predict(["sevven"])


def test_a_run_that_trained_its_codebook_itself_is_known_by_its_data_alone(tmp_path: Path) -> None:
    built = build(SCRIPT)
    assert run(built, tmp_path / "run", steps=2, eval_every=2) == 0
    one = bigmodel.load(tmp_path / "run")
    assert one.build().data.fingerprint == built.experiment.data.fingerprint


def test_a_run_that_has_no_codebook_for_the_images_is_refused(
    learned: Path, tmp_path: Path
) -> None:
    data = build(SCRIPT).experiment.data
    with pytest.raises(InputError, match=r"images of \(8, 8, 1\), and these are of \(9, 8, 1\)$"):
        load_codebook(Tokens(str(learned)), data, (9, 8, 1))
    shutil.copytree(learned, tmp_path / "none")
    (tmp_path / "none" / "assets" / "codebook.json").unlink()
    with pytest.raises(InputError, match=r"^--tokens.run .*none has no codebook; give a run that "):
        load_codebook(Tokens(str(tmp_path / "none")), data, (8, 8, 1))
    with pytest.raises(InputError, match=r"^--tokens.run: .*"):
        load_codebook(Tokens(str(tmp_path / "gone")), data, (8, 8, 1))
