"""What began with the weights of others is given back in their layout."""

import json
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pytest
from encoder_cases import BERT, Case, tokens, variables, write
from word_pieces import VOCABULARY, content

import bigmodel
import launch
from bigmodel.data.texts.tokenizers import load as load_tokenizer
from bigmodel.pretrained import bert
from bigmodel.pretrained.source import read_foreign
from bigmodel.runtime.entry import main
from bigmodel.script import load_script
from bigmodel.tree import named_leaves

ROOT = Path(__file__).parent.parent.parent


def test_a_classifier_of_texts_that_began_with_a_folder_is_one_there(tmp_path, capfd):
    sizes = {"vocab_size": len(VOCABULARY), "context": 15, "special": {"first": 2}}
    case = Case("bert", BERT, lambda options: options.masked(**sizes), tokens)
    begun, run, out = (tmp_path / name for name in ("begun", "run", "out"))
    begun.mkdir()
    write(begun, *bert.to_theirs(variables(case), asdict(BERT), {}))
    (begun / "tokenizer.json").write_bytes(content())

    lines = [f"{label}\t{word}, {word}" for label in "ab" for word in VOCABULARY[-8:]]
    (tmp_path / "texts.tsv").write_text("\n".join(lines))
    script = load_script(ROOT / "experiments" / "bert_classify.py")
    options = [f"--init.from={begun}", f"--model.from={begun}", f"--run.dir={run}"]
    options += ["--model.pooler", "--pooling=first", "--run.steps=2", "--data.batch-size=4"]
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
