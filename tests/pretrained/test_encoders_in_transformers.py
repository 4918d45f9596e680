"""Another implementation computes the same, both ways."""

import dataclasses
import shutil
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from encoder_cases import BERT, CASES, SPECIAL, TEXT, read, variables, write

from bigmodel.models.texts.bert import BertEncoder
from bigmodel.pretrained.families import family
from bigmodel.pretrained.positions import fitted
from bigmodel.pretrained.source import read_foreign
from bigmodel.tree import nested

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")
pytestmark = pytest.mark.filterwarnings("ignore")
WORDS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *map(str, range(35))]


def theirs(folder, case, batch, monkeypatch):
    """What transformers computes, by the lines that a family has for it."""
    np.savez(folder / "sample_input.npz", **batch)
    (folder / "vocab.txt").write_text("\n".join(WORDS))
    found: dict = {}
    with monkeypatch.context() as here:
        here.chdir(folder)
        exec(family(case.family).LINES, found)
    return found["outputs"]["logits"]


def written(folder, name):
    """A folder that we write, and its variables."""
    case = CASES[name]
    given = variables(case)
    options = dataclasses.asdict(case.options)
    folder.mkdir()
    write(folder, *family(case.family).to_theirs(given, options, case.facts))
    return given


def redrawn(folder: Path, to: Path, name: str) -> None:
    """A folder that transformers writes, of the network in another one, with other parameters."""
    kind = getattr(transformers, name.partition("-")[0])
    there, loading = kind.from_pretrained(folder, output_loading_info=True)
    assert not any(loading[keys] for keys in ("missing_keys", "unexpected_keys", "mismatched_keys"))
    torch.manual_seed(0)
    with torch.no_grad():
        for tensor in [*there.parameters(), *there.buffers()]:
            if tensor.is_floating_point():
                tensor += 0.1 * torch.rand(tensor.shape)
    there.save_pretrained(to)
    if (folder / "preprocessor_config.json").exists():
        shutil.copy(folder / "preprocessor_config.json", to)


@pytest.mark.parametrize("name", [name for name in CASES if name != "BertModel"])
def test_transformers_has_the_same_logits_both_ways(name, tmp_path, monkeypatch):
    case = CASES[name]
    given, batch = written(tmp_path / "ours", name), case.batch()
    apply = jax.jit(lambda values: case.build(case.options).apply(values, batch, train=False)[0])
    expected = theirs(tmp_path / "ours", case, batch, monkeypatch)
    np.testing.assert_allclose(apply(nested(given)), expected, atol=1e-5, rtol=1e-4)
    redrawn(tmp_path / "ours", tmp_path / "theirs", name)
    source = read_foreign(tmp_path / "theirs")
    assert read(case, source.options) == case.options
    expected = theirs(tmp_path / "theirs", case, batch, monkeypatch)
    found = apply(nested(source.variables))
    np.testing.assert_allclose(found, expected, atol=1e-5, rtol=1e-4)


def test_their_hidden_states_are_ours(tmp_path, monkeypatch):
    case, batch = CASES["BertModel"], CASES["BertModel"].batch()
    given = written(tmp_path / "ours", "BertModel")
    expected = theirs(tmp_path / "ours", case, batch, monkeypatch)
    sizes = (TEXT["vocab_size"], TEXT["context"], SPECIAL["first"], SPECIAL["separator"])
    params = {"params": nested(given)["params"]["encoder"]}
    inputs = (jnp.asarray(batch[name]) for name in ("tokens", "length"))
    found = np.asarray(BertEncoder(BERT, *sizes).apply(params, *inputs, train=False))
    inside = np.arange(expected.shape[1])[None, :, None] <= batch["length"][:, None, None]
    np.testing.assert_allclose(found * inside, expected * inside, atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("sides", [(3, 5), (5, 3), (4, 8)])
def test_positions_are_interpolated_as_pytorch_does(sides):
    old, new = sides
    rows = np.random.default_rng(0).normal(size=(old * old, 6)).astype(np.float32)
    grid = torch.tensor(rows.reshape(1, old, old, 6)).permute(0, 3, 1, 2)
    resized = torch.nn.functional.interpolate(grid, (new, new), mode="bicubic")
    expected = resized.permute(0, 2, 3, 1).reshape(-1, 6).numpy()
    found = fitted("params/position", rows, (new * new, 6))
    np.testing.assert_allclose(found, expected, atol=1e-5)
