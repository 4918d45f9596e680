import dataclasses
import json

import numpy as np
import pytest
from causal_cases import CASES, CONTEXT, LLAMA, VOCAB, variables, write
from safetensors.numpy import load_file, save_file

from bigmodel.config import from_json
from bigmodel.experiment import InputError
from bigmodel.models import Gpt
from bigmodel.pretrained.families import writer_of
from bigmodel.pretrained.source import describe, read_foreign


@pytest.mark.parametrize("name", CASES)
def test_what_is_written_is_read_as_it_was(name, tmp_path):
    options, given = CASES[name], variables(CASES[name])
    write(tmp_path, options, given)
    config = json.loads((tmp_path / "config.json").read_text())
    assert config["model_type"] == name.partition("-")[0]
    source = read_foreign(tmp_path)
    assert from_json(Gpt(), source.options) == options
    assert describe(tmp_path).model == "Gpt"
    assert source.variables.keys() == given.keys()
    for path, array in given.items():
        np.testing.assert_array_equal(source.variables[path], array, path)
    assert source.facts["vocab_size"] == VOCAB
    assert source.facts["context"] == CONTEXT
    assert source.tokenizer is None


def test_a_folder_says_how_dialogues_are_written_and_what_ends_a_text(tmp_path):
    write(tmp_path, LLAMA, variables(LLAMA), eos_token_id=[2, 3])
    tokens = {"eos_token": {"content": "<end>"}, "bos_token": "<s>", "chat_template": "{{ x }}"}
    (tmp_path / "tokenizer_config.json").write_text(json.dumps(tokens))
    (tmp_path / "tokenizer.json").write_text("{}")
    source = read_foreign(tmp_path)
    expected = {
        "architecture": "LlamaForCausalLM",
        "ends": (2, 3),
        "special_tokens": {"bos": "<s>", "eos": "<end>"},
        "chat_template": "{{ x }}",
    }
    assert expected.items() <= source.facts.items()
    assert source.tokenizer == b"{}"
    (tmp_path / "chat_template.jinja").write_text("{{ y }}")
    assert read_foreign(tmp_path).facts["chat_template"] == "{{ y }}"


def test_the_sha256_is_that_of_the_weights_and_the_config(tmp_path):
    given = variables(LLAMA)
    write(tmp_path / "a", LLAMA, given)
    write(tmp_path / "b", LLAMA, given)
    first = read_foreign(tmp_path / "a").sha256
    assert read_foreign(tmp_path / "b").sha256 == first
    write(tmp_path / "b", LLAMA, given, rms_norm_eps=1e-4)
    assert read_foreign(tmp_path / "b").sha256 != first
    given["params/norm/scale"][0] += 1
    write(tmp_path / "b", LLAMA, given)
    assert read_foreign(tmp_path / "b").sha256 != first


CONFIGS = [
    ({"model_type": "mamba"}, "model_type in config.json is 'mamba'; those that can be read are"),
    ({"model_type": ["llama"]}, "model_type"),
    ({"hidden_size": None}, "config.json has no hidden_size"),
    ({"hidden_size": "16"}, 'hidden_size in config.json is "16"; it must be a whole number'),
    ({"num_hidden_layers": 10**12}, "num_hidden_layers"),
    ({"num_hidden_layers": 2**31 - 1}, "there is no tensor layers.2."),
    (
        {"num_hidden_layers": 1},
        "the tensor model.layers.1.* is none of a llama .* nor are 8 others",
    ),
    ({"hidden_act": "relu"}, "hidden_act"),
    ({"rope_parameters": {"rope_type": "yarn"}}, 'rope_type in config.json is "yarn"'),
    ({"rope_parameters": [1]}, "rope_parameters"),
    ({"rms_norm_eps": float("nan")}, "rms_norm_eps in config.json is NaN"),
    ({"rms_norm_eps": 10**400}, "rms_norm_eps in config.json is 1000"),
    ({"attention_bias": True}, "there is no tensor layers.0.self_attn.q_proj.bias"),
    ({"layer_types": ["full_attention", "sliding_attention"]}, "layer_types"),
    ({"tie_word_embeddings": 1}, "tie_word_embeddings"),
]


@pytest.mark.parametrize(("changes", "said"), CONFIGS, ids=str)
def test_a_config_that_our_networks_cannot_be_is_refused_in_a_line(changes, said, tmp_path):
    write(tmp_path, LLAMA, variables(LLAMA), **changes)
    with pytest.raises(InputError, match=said) as refused:
        read_foreign(tmp_path)
    assert "\n" not in str(refused.value)
    assert str(tmp_path) in str(refused.value)


def test_ids_of_no_token_end_no_text(tmp_path):
    write(tmp_path, LLAMA, variables(LLAMA), eos_token_id=[-3, 2, 4_000_000_000])
    assert read_foreign(tmp_path).facts["ends"] == (2,)


def test_tensors_of_other_shapes_are_refused_in_a_line(tmp_path):
    write(tmp_path, CASES["gpt2"], variables(CASES["gpt2"]))
    weights = load_file(tmp_path / "model.safetensors")
    weights["transformer.h.1.attn.c_attn.weight"] = np.zeros((), np.float32)
    save_file(weights, tmp_path / "model.safetensors")
    with pytest.raises(InputError, match=r"other shapes than config.json says"):
        read_foreign(tmp_path)


def test_masks_and_a_second_copy_of_the_embedding_are_left(tmp_path):
    options = CASES["gpt2"]
    given = variables(options)
    write(tmp_path, options, given)
    weights = load_file(tmp_path / "model.safetensors")
    weights["transformer.h.0.attn.bias"] = np.ones((1, 1, CONTEXT, CONTEXT), bool)
    weights["lm_head.weight"] = weights["transformer.wte.weight"]
    save_file(weights, tmp_path / "model.safetensors")
    assert read_foreign(tmp_path).variables.keys() == given.keys()


REFUSED = [
    ({"activation": "gelu"}, "llama has --model.activation swiglu, and this has gelu"),
    ({"norm": "layer"}, "llama has --model.norm rms"),
    ({"experts": 2}, "llama has --model.experts 0"),
    ({"window": 4, "global_tokens": 1}, "llama has --model.global-tokens 0"),
    ({"window": 4, "biases": True}, "llama has no window with biases"),
    ({"positions": "learned"}, "gpt2 has --model.norm layer"),
]


@pytest.mark.parametrize(("changes", "said"), REFUSED, ids=str)
def test_what_a_family_has_not_is_not_written(changes, said):
    with pytest.raises(InputError, match=said):
        writer_of("Gpt", dataclasses.asdict(dataclasses.replace(LLAMA, **changes)))
