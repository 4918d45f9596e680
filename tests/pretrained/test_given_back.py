"""What began with the weights of others is given back in their layout."""

import json
from dataclasses import asdict
from pathlib import Path

import causal_cases
import numpy as np
import pytest
from encoder_cases import BERT, Case, tokens, variables, write
from word_pieces import VOCABULARY, content

import bigmodel
import launch
from bigmodel.data.texts.tokenizers import bpe_tokenizer
from bigmodel.data.texts.tokenizers import load as load_tokenizer
from bigmodel.pretrained import bert
from bigmodel.pretrained.source import read_foreign
from bigmodel.runtime.entry import main
from bigmodel.script import load_script
from bigmodel.training.transfer.beginning import by_block
from bigmodel.tree import named_leaves

pytest.importorskip("transformers")

ROOT = Path(__file__).parent.parent.parent


def test_a_classifier_of_texts_that_began_with_a_folder_is_one_there(tmp_path, capfd):
    sizes = {"vocab_size": len(VOCABULARY), "context": 15, "special": {"first": 2}}
    case = Case("bert", BERT, lambda options: options.masked(**sizes), tokens)
    begun, run, out = (tmp_path / name for name in ("begun", "run", "out"))
    begun.mkdir()
    write(begun, *bert.to_theirs(variables(case), asdict(BERT), {}))
    (begun / "tokenizer.json").write_bytes(content())

    lines = [f"{label}\t{word}, {word}" for label in "ab" for word in VOCABULARY[-13:]]
    (tmp_path / "texts.tsv").write_text("\n".join(lines))
    script = load_script(ROOT / "experiments" / "bert_classify.py")
    options = [f"--init.from={begun}", f"--model.from={begun}", f"--run.dir={run}"]
    options += ["--model.pooler", "--pooling=first", "--run.steps=2", "--data.batch-size=8"]
    options += [f"--data.path={tmp_path / 'texts.tsv'}"]
    with pytest.raises(SystemExit) as end:
        main(script.build, script.Config(), options)
    assert end.value.code == 0, capfd.readouterr().err
    arguments = ["export", str(run), "--format", "huggingface", "--out", str(out)]
    assert launch.main(arguments) == 0, capfd.readouterr().err

    trained, source = bigmodel.load(run), read_foreign(out)
    assert source.facts["architecture"] == "BertForSequenceClassification"
    assert source.facts["labels"] == ("a", "b")
    for path, leaf in named_leaves(trained.variables).items():
        np.testing.assert_array_equal(source.variables[path], leaf, path)
    assert json.loads((out / "tokenizer_config.json").read_text())["cls_token"] == "[CLS]"
    read = load_tokenizer(source.tokenizer)
    kept = load_tokenizer(trained.assets["tokenizer.json"])
    assert read.special == kept.special
    np.testing.assert_array_equal(read.encode("want, lowest"), kept.encode("want, lowest"))


def test_a_language_model_that_began_with_a_llama_is_one_there(tmp_path, capfd):
    tokenizer = bpe_tokenizer("the import of the statement, and of its name\n" * 5, vocab_size=290)
    begun, run, out = (tmp_path / name for name in ("begun", "run", "out"))
    given = causal_cases.variables(causal_cases.LLAMA, tokenizer.vocab_size)
    causal_cases.write(begun, causal_cases.LLAMA, given)
    (begun / "tokenizer.json").write_bytes(tokenizer.dump())

    script = load_script(ROOT / "experiments" / "gpt.py")
    options = [f"--init.from={begun}", f"--model.from={begun}", f"--run.dir={run}"]
    options += ["--model.scan", "--data.context=16", "--data.batch-size=8", "--data.test=0.01"]
    options += ["--sampling.tokens=4"]
    with pytest.raises(SystemExit) as end:
        main(script.build, script.Config(), [*options, "--data.validation=0", "--run.steps=2"])
    assert end.value.code == 0, capfd.readouterr().err
    arguments = ["export", str(run), "--format", "huggingface", "--out", str(out)]
    assert launch.main(arguments) == 0, capfd.readouterr().err
    said = capfd.readouterr().out
    assert "transformers agrees" in said

    source = read_foreign(out)
    assert source.options == read_foreign(begun).options
    leaves = named_leaves(bigmodel.load(run).variables)
    trained = by_block({path: np.asarray(leaf) for path, leaf in leaves.items()})
    assert source.variables.keys() == trained.keys() == given.keys()
    for path, leaf in trained.items():
        np.testing.assert_array_equal(source.variables[path], leaf, path)
        assert np.abs(given[path] - leaf).max() < 0.1
    assert source.facts["context"] == 16
    assert (
        load_tokenizer(source.tokenizer).encode("its name\n").tolist()
        == tokenizer.encode("its name\n").tolist()
    )
