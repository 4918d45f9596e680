"""An encoder-decoder and the vocabularies of its data."""

import pytest

from bigmodel.data.texts.vocabulary import PairReader, learn_vocabulary
from bigmodel.experiment import InputError
from bigmodel.models import Beam, Transformer
from bigmodel.training import translation_predictor


def test_copying_needs_one_vocabulary_of_both_sides():
    one, other = (
        learn_vocabulary("char", train=[text], others=[], size=9) for text in ("abc", "abd")
    )
    network = Transformer(layers=1, width=16, heads=2, copy=True)
    assert translation_predictor(network, PairReader(one, one, 8, 8), beam=Beam())
    with pytest.raises(InputError, match="needs one vocabulary of both sides"):
        translation_predictor(network, PairReader(one, other, 8, 8), beam=Beam())
