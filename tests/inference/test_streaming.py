"""On a terminal a single text is continued as it is drawn; anything else is a line of JSON."""

import argparse
import json
import sys
from types import SimpleNamespace

import numpy as np
import pytest

from bigmodel.data.texts.reading import text_of
from bigmodel.experiment import InputError
from bigmodel.inference import loading, predict, trained
from bigmodel.predictor import Predictor


class Written(trained.Trained):
    """A run that spells its input backwards."""

    def __init__(self, *, streams=True):
        super().__init__("run")
        self.predictor = Predictor(
            lambda inputs: {"code": np.array([[ord(text_of(each)[0])] for each in inputs])},
            lambda _, batch: batch["code"],
            lambda outputs: [{"text": chr(code)} for [code] in outputs],
            "text",
            "texts",
            "texts",
            (lambda _, each: reversed(text_of(each))) if streams else None,
        )
        self.config, self.variables = SimpleNamespace(data=None), {}


def asked(monkeypatch, capsys, *arguments, terminal=True, streams=True):
    monkeypatch.setattr(loading, "load", lambda *_, **__: Written(streams=streams))
    monkeypatch.setattr(sys.stdout, "isatty", lambda: terminal, raising=False)
    parser = argparse.ArgumentParser()
    predict.add_options(parser)
    assert predict.execute(parser.parse_args(["run", *arguments]), []) == 0
    return capsys.readouterr().out


def test_a_single_text_on_a_terminal_is_continued_piece_by_piece(monkeypatch, capsys):
    assert asked(monkeypatch, capsys, "abc") == "cba\n"


@pytest.mark.parametrize(
    ("arguments", "options"),
    [
        (["abc"], {"terminal": False}),
        (["abc"], {"streams": False}),
        (["abc", "bcd"], {}),
    ],
)
def test_otherwise_there_is_a_line_of_json_for_each(arguments, options, monkeypatch, capsys):
    lines = asked(monkeypatch, capsys, *arguments, **options).splitlines()
    assert [json.loads(line) for line in lines] == [{"text": each[0]} for each in arguments]


def test_lines_of_a_file_are_all_read_on_a_terminal_too(monkeypatch, capsys, tmp_path):
    (tmp_path / "texts").write_text("abc\nbcd\n")
    out = asked(monkeypatch, capsys, str(tmp_path / "texts"))
    assert out == '{"text": "a"}\n{"text": "b"}\n'


def test_what_cannot_be_continued_is_named(monkeypatch, capsys):
    with pytest.raises(InputError, match=r"^'\\ud800': it is no Unicode"):
        asked(monkeypatch, capsys, "\ud800")
    with pytest.raises(InputError, match="run writes no text piece by piece"):
        Written(streams=False).stream("abc")
