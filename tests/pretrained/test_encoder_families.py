import dataclasses
import re

import numpy as np
import pytest
from encoder_cases import BERT, CASES, VIT, resnet, variables, write

from bigmodel.experiment import InputError
from bigmodel.models.images import resnet as network
from bigmodel.pretrained import bert
from bigmodel.pretrained import resnet as theirs
from bigmodel.pretrained.families import family, writer_of
from bigmodel.pretrained.positions import fitted
from bigmodel.pretrained.source import read_foreign

RNG = np.random.default_rng(1)


def written(folder, name, **facts):
    case = CASES[name]
    given, options = variables(case), dataclasses.asdict(case.options)
    weights, config = family(case.family).to_theirs(given, options, {**case.facts, **facts})
    write(folder, weights, config)
    return case, given, weights


@pytest.mark.parametrize("name", CASES)
def test_what_is_written_is_read_as_it_was(name, tmp_path):
    case, given, _ = written(tmp_path, name)
    source = read_foreign(tmp_path)
    assert source.facts["architecture"] == name.split("-")[0]
    assert {key: getattr(case.options, key) for key in source.options} == source.options
    assert source.variables.keys() == given.keys()
    for path, array in given.items():
        np.testing.assert_array_equal(source.variables[path], array, path)
    if "Classification" in name:
        assert source.facts["labels"] == case.facts["labels"]


def test_the_first_files_spelled_norms_otherwise_and_had_more_heads(tmp_path):
    _, given, weights = written(tmp_path, "BertForMaskedLM")
    weights = {
        re.sub(
            "LayerNorm.bias$", "LayerNorm.beta", re.sub("LayerNorm.weight$", "LayerNorm.gamma", n)
        ): w
        for n, w in weights.items()
    }
    weights["cls.seq_relationship.weight"] = np.zeros((2, 16), np.float32)
    weights["bert.embeddings.position_ids"] = np.arange(16)[None]
    case = CASES["BertForMaskedLM"]
    _, config = bert.to_theirs(given, dataclasses.asdict(case.options), {})
    write(tmp_path, weights, config)
    found = read_foreign(tmp_path).variables
    assert found.keys() == given.keys()
    np.testing.assert_array_equal(found["params/norm/scale"], given["params/norm/scale"])


def test_a_folder_says_how_a_text_becomes_a_vector(tmp_path):
    written(tmp_path, "BertModel")
    pooling = {"pooling": "mean", "normalized": False, "most": 15}
    assert pooling.items() <= read_foreign(tmp_path).facts.items()
    (tmp_path / "1_Pooling").mkdir()
    (tmp_path / "1_Pooling/config.json").write_text('{"pooling_mode_cls_token": true}')
    (tmp_path / "modules.json").write_text('[{"type": "sentence_transformers.models.Normalize"}]')
    (tmp_path / "sentence_bert_config.json").write_text('{"max_seq_length": 8}')
    pooling = {"pooling": "first", "normalized": True, "most": 7}
    assert pooling.items() <= read_foreign(tmp_path).facts.items()
    (tmp_path / "1_Pooling/config.json").write_text('{"pooling_mode_max_tokens": true}')
    with pytest.raises(InputError, match="neither the first token nor the mean"):
        read_foreign(tmp_path)


def test_a_vocabulary_without_special_tokens_is_not_written():
    case = CASES["BertForMaskedLM"]
    options = dataclasses.asdict(case.options)
    with pytest.raises(InputError, match=r"reads \[CLS\], \[SEP\] and \[MASK\] of its vocabulary"):
        bert.to_theirs(variables(case), options, {"special": {}})


REFUSED = [
    ("Bert", dataclasses.replace(BERT, norm="pre"), "bert has --model.norm post, and this has pre"),
    ("Bert", dataclasses.replace(BERT, activation="relu"), "gelu or gelu_exact, and this has relu"),
    ("Vit", dataclasses.replace(VIT, pooling="mean"), "vit has --model.pooling token"),
    ("Vit", dataclasses.replace(VIT, activation="swiglu"), "and this has swiglu"),
    ("ResNet", dataclasses.replace(resnet(18), padding="same"), "--model.padding symmetric"),
    ("ResNet", dataclasses.replace(resnet(18), depth=8), "18, 34, 50, 101, 152, and this has 8"),
    ("Mlp", BERT, "a Mlp has no counterpart"),
]


@pytest.mark.parametrize(("name", "options", "said"), REFUSED, ids=lambda each: str(each)[:30])
def test_what_a_family_has_not_is_not_written(name, options, said):
    with pytest.raises(InputError, match=said):
        writer_of(name, dataclasses.asdict(options))


def test_a_classifier_that_pools_otherwise_is_not_written(tmp_path):
    with pytest.raises(InputError, match=r"--model.pooler --pooling first"):
        written(tmp_path, "BertForSequenceClassification", pooling="mean")


RAW = {"do_normalize": False}
CONFIGS = [
    ("BertModel", {"intermediate_size": 17}, "it must be a multiple of hidden_size 16"),
    ("BertModel", {"hidden_act": "silu"}, "hidden_act in config.json"),
    ("BertModel", {"is_decoder": True}, "is_decoder"),
    ("BertModel", {"num_hidden_layers": 2**31 - 1}, "there is no tensor encoder.layer."),
    ("BertForSequenceClassification", {"id2label": {"5": "a"}}, "id2label"),
    ("BertForSequenceClassification", {"id2label": {"0": "a", "1": "a"}}, "'a' more than once"),
    ("ViTForImageClassification", {"qkv_bias": False}, "qkv_bias"),
    ("ViTForImageClassification", {"image_processor": {"image_mean": [1]}}, "3 numbers"),
    ("ViTForImageClassification", {"image_processor": RAW | {"size": 10**6}}, "size in .*4096"),
    ("ViTForImageClassification", {"image_processor": RAW, "num_channels": 10**9}, "to 4096"),
    ("ResNetForImageClassification", {"depths": [1, 1, 1, 1]}, "those that can be read"),
    ("ResNetForImageClassification", {"hidden_sizes": [8, 8, 8, 8]}, r"must be \[8, 16, 32, 64\]"),
    ("ResNetForImageClassification", {"layer_type": "odd"}, "layer_type"),
    ("ResNetForImageClassification", {"depths": "x"}, "depths in config.json are x"),
]


@pytest.mark.parametrize(("name", "changes", "said"), CONFIGS, ids=str)
def test_a_config_that_our_networks_cannot_be_is_refused(name, changes, said, tmp_path):
    case, given, weights = written(tmp_path, name)
    options = dataclasses.asdict(case.options)
    _, config = family(case.family).to_theirs(given, options, case.facts)
    write(tmp_path, weights, config | changes)
    with pytest.raises(InputError, match=said):
        read_foreign(tmp_path)


def test_the_depths_are_those_of_our_networks():
    ours = {
        depth: (plan.blocks, 3 if plan.bottleneck else 2)
        for depth, plan in network.PLANS.items()
        if plan.large
    }
    assert ours == theirs.PLANS


def test_positions_of_a_text_are_the_first_and_those_of_an_image_a_smooth_square():
    rows = RNG.normal(size=(10, 3)).astype(np.float32)
    path = "params/encoder/positions/embedding"
    np.testing.assert_array_equal(fitted(path, rows, (4, 3)), rows[:4])
    assert fitted(path, rows, (11, 3)) is None
    assert fitted(path, rows, (4, 2)) is None
    assert fitted("params/head/kernel", rows, (4, 3)) is None
    # A token and 5x5 patches, whose values are a plane: it is one of 10x10 patches inside.
    grid = np.stack(np.meshgrid(np.arange(5.0), np.arange(5.0), indexing="ij"), -1)
    rows = np.concatenate([[[7.0, 9.0]], grid.reshape(25, 2)]).astype(np.float32)
    found = fitted("params/position", rows, (101, 2))
    np.testing.assert_array_equal(found[0], [7, 9])
    inside = found[1:].reshape(10, 10, 2)[4:6, 4:6]
    at = (np.arange(4, 6) + 0.5) / 2 - 0.5
    np.testing.assert_allclose(inside, np.stack(np.meshgrid(at, at, indexing="ij"), -1), atol=0.05)
    np.testing.assert_allclose(fitted("params/position", rows[1:], (25, 2)), rows[1:], atol=1e-6)
    assert fitted("params/position", rows, (102, 2)) is None
