from typing import Any

import pytest

from bigmodel import models
from bigmodel.experiment import InputError

NAN = float("nan")
REFUSED = [
    ("Mlp", {"widths": (8, 0)}, "--model.widths"),
    ("Mlp", {"dropout": NAN}, "--model.dropout nan"),
    ("ConvNet", {"widths": ()}, "--model.widths"),
    ("ConvNet", {"widths": (8, 0)}, "--model.widths"),
    ("ConvNet", {"convolutions": (0,)}, "--model.convolutions"),
    ("ConvNet", {"convolutions": (1, 2, 3)}, "--model.convolutions .* of the 2 --model.widths"),
    ("ConvNet", {"dense": (0,)}, "--model.dense"),
    ("ConvNet", {"kernel": 0}, "--model.kernel 0"),
    ("ConvNet", {"dropout": 1.0}, "--model.dropout 1.0 must be at least 0 and below 1"),
    ("Xception", {"widths": ()}, "--model.widths"),
    ("Xception", {"convolutions": (2, 2)}, "--model.convolutions .* each of the 3 blocks"),
    ("Xception", {"convolutions": (0,)}, "--model.convolutions"),
    ("Xception", {"dropout": 1.0}, "--model.dropout 1.0"),
    ("ResNet", {"width": 0}, "--model.width 0"),
    ("ResNet", {"dropout": 1.0}, "--model.dropout 1.0"),
    ("ConvNet1d", {"widths": ()}, "--model.widths"),
    ("ConvNet1d", {"size": 0}, "--model.size 0"),
    ("ConvNet1d", {"dropout": 1.0}, "--model.dropout 1.0"),
    ("Vit", {"patch": 0}, "--model.patch 0"),
    ("Vit", {"width": 10, "heads": 4}, "--model.heads 4 does not divide --model.width 10; use 5"),
    ("Vit", {"dropout": 1.0}, "--model.dropout 1.0"),
    ("Unet", {"widths": ()}, "--model.widths"),
    ("Unet", {"blocks": 0}, "--model.blocks 0"),
    ("Unet", {"dropout": 1.0}, "--model.dropout 1.0"),
    ("Unet", {"widths": (32, 48), "attention": True}, "heads of 32"),
    ("Dcgan", {"latent": 0}, "--model.latent 0"),
    ("Dcgan", {"widths": ()}, "--model.widths"),
    ("Dcgan", {"dropout": 1.0}, "--model.dropout 1.0"),
    ("Autoencoder", {"latents": 0}, "--model.latents 0"),
    ("Autoencoder", {"hidden": ()}, "--model.hidden"),
    ("Autoencoder", {"name": "convolutional", "widths": (4, 0)}, "--model.widths"),
    ("Rnn", {"layers": 0}, "--model.layers 0 is too small"),
    ("Rnn", {"layers": 10_001}, "--model.layers 10001 is too large"),
    ("Rnn", {"width": 0}, "--model.width 0"),
    ("Rnn", {"embedding": 0}, "--model.embedding 0"),
    ("Rnn", {"dropout": 1.0}, "--model.dropout 1.0"),
    ("Bert", {"heads": 3}, "--model.heads 3 does not divide --model.width 128; use 2"),
    ("Bert", {"layers": 0}, "--model.layers 0"),
    ("Bert", {"dropout": 1.0}, "--model.dropout 1.0"),
    ("Gpt", {"heads": 3}, "--model.heads 3 does not divide --model.width 128; use 2"),
    ("Gpt", {"heads": 8, "width": 24}, "3 features each"),
    ("Gpt", {"heads": -1}, "--model.heads -1"),
    ("Gpt", {"kv_heads": 3}, "--model.kv-heads 3 does not divide --model.heads 4; use 2"),
    ("Gpt", {"kv_heads": 0}, "--model.kv-heads 0"),
    ("Gpt", {"window": 0}, "--model.window 0"),
    ("Gpt", {"head_size": 0}, "--model.head-size 0"),
    ("Gpt", {"head_size": 3, "heads": 3}, "3 features each"),
    ("Gpt", {"epsilon": -1.0}, "--model.epsilon -1.0"),
    ("Gpt", {"expansion": 0.0}, "--model.expansion 0.0"),
    ("Gpt", {"expansion": NAN}, "--model.expansion nan"),
    ("Gpt", {"experts": -1}, "--model.experts -1"),
    ("Gpt", {"experts": 2, "experts_per_token": 3}, "--model.experts-per-token 3 is more than"),
    ("Gpt", {"experts_per_token": 0}, "--model.experts-per-token 0"),
    ("Gpt", {"capacity": 0.0}, "--model.capacity 0.0"),
    ("Gpt", {"balance": -0.1}, "--model.balance -0.1"),
    ("Gpt", {"dropout": NAN}, "--model.dropout nan"),
    ("Transformer", {"width": 30, "heads": 4}, "--model.width 30 .* use 32"),
    ("Transformer", {"layers": 0}, "--model.layers 0"),
    ("Transformer", {"dropout": 1.0}, "--model.dropout 1.0"),
    ("Seq2Seq", {"width": 15}, "--model.width 15 .* use 16"),
    ("Seq2Seq", {"heads": 0}, "--model.heads 0"),
    ("Seq2Seq", {"dropout": -0.1}, "--model.dropout -0.1"),
    ("Beam", {"size": 0}, "--beam.size 0"),
    ("Beam", {"length_penalty": -1.0}, "--beam.length-penalty -1.0"),
    ("Sampling", {"prompt": "\udcff"}, "--sampling.prompt is not UTF-8"),
    ("Sampling", {"tokens": 0}, "--sampling.tokens 0"),
    ("Sampling", {"temperature": -0.1}, "--sampling.temperature -0.1"),
    ("Sampling", {"temperature": NAN}, "--sampling.temperature nan"),
    ("Sampling", {"top_k": -1}, "--sampling.top-k -1"),
    ("Sampling", {"top_p": 0.0}, "--sampling.top-p 0.0"),
    ("Sampling", {"top_p": 1.5}, "--sampling.top-p 1.5"),
    ("SkipGram", {"width": 0}, "--model.width 0"),
    ("SkipGram", {"scale": 0.0}, "--model.scale 0.0"),
    ("Recommender", {"width": 0}, "--model.width 0"),
    ("Recommender", {"hidden": (0,)}, "--model.hidden"),
    ("Recommender", {"scale": 0.0}, "--model.scale 0.0"),
    ("Recommender", {"dropout": 1.0}, "--model.dropout 1.0"),
]

SHAPE = (8, 8, 1)


@pytest.mark.parametrize(("name", "values", "message"), REFUSED, ids=str)
def test_an_option_out_of_range_is_refused(name: str, values: Any, message: str) -> None:
    arguments = {"Dcgan": (SHAPE, 3), "Autoencoder": (SHAPE,)}.get(name, (3,))
    with pytest.raises(InputError, match=message):
        getattr(models, name)(**values).build(*arguments)
