"""Causal networks here and in transformers, from weights of either, give the same logits."""

import numpy as np
import pytest
from causal_cases import CASES, CONTEXT, TOKENS, VOCAB, variables, write

from bigmodel.config import from_json
from bigmodel.models import Gpt
from bigmodel.pretrained.source import read_foreign
from bigmodel.tree import nested

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")


def difference(theirs, options, values) -> float:
    """The largest difference of the logits, relative to the largest of them."""
    model = options.build(vocab_size=VOCAB, context=CONTEXT)
    ours, _ = model.apply(nested(values), {"tokens": TOKENS}, train=False, key=None)
    with torch.no_grad():
        expected = theirs(torch.tensor(TOKENS, dtype=torch.long)).logits.numpy()
    return np.abs(np.asarray(ours) - expected).max() / np.abs(expected).max()


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", CASES)
def test_transformers_has_the_same_logits_both_ways(name, tmp_path):
    options, given = CASES[name], variables(CASES[name])
    write(tmp_path / "ours", options, given)
    load = transformers.AutoModelForCausalLM.from_pretrained
    theirs = load(tmp_path / "ours", dtype=torch.float32).eval()
    assert difference(theirs, options, given) < 1e-5
    torch.manual_seed(0)
    for path, parameter in theirs.named_parameters():
        torch.nn.init.normal_(parameter, "norm" in path and "weight" in path, 0.3)
    theirs.save_pretrained(tmp_path / "theirs")
    source = read_foreign(tmp_path / "theirs")
    assert difference(theirs, from_json(Gpt(), source.options), source.variables) < 1e-5
