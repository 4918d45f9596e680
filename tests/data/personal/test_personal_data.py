"""That personal data is found, what looks like it is not, and nothing of it is left anywhere."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from personal_examples import FOUND, shares

from bigmodel import data
from bigmodel.data.personal.masking import MASKED, Mask, Personal, masked_inputs, noted
from bigmodel.predictor import Beginning, Predictor

NAME, MAIL, PHONE = "Ada Lovelace", "ada@example.org", "+49 30 1234567"
SECRETS = ("Lovelace", "example", "1234567")


def test_what_is_generated_is_found_and_what_looks_alike_is_left() -> None:
    by_kind, mistaken = shares(60)
    assert set(by_kind) == set(FOUND)
    for precision, recall in by_kind.values():
        assert precision > 0.9
        assert recall > 0.98
    assert sum(mistaken.values()) / len(mistaken) < 0.02


@pytest.mark.parametrize(
    ("text", "masked"),
    [
        ("to ada@x.org, bob@y.com.", "to [EMAIL], [EMAIL]."),
        ("Ada\n  Lovelace's", "[NAME]\n's"),
        ("ADA LOVELACE, Lovelaces, Ada", "[NAME], Lovelaces, Ada"),
        ("a,4111111111111111,+49 30 1234567\nb", "a,[CARD],[PHONE]\nb"),
        ("DE89 3704 0044 0532 0130 00 EUR", "[ACCOUNT] EUR"),
        ("Ada Lovelace@x.org", "[EMAIL]"),
        ("10.0.0.1-10.0.0.9, v10.0.0.1", "[IP]-[IP], v10.0.0.1"),
        ("2020-01-02T10:20:01.123-0500 x", "2020-01-02T10:20:01.123-0500 x"),
        ("10:20:05 2020-01-02", "10:20:05 2020-01-02"),
        ("tel:030 1234567, at 9:05: 030 1234567", "tel:[PHONE], at 9:05: [PHONE]"),
    ],
)
def test_a_place_is_replaced_by_its_kind_and_lines_and_cells_stay(text: str, masked: str) -> None:
    assert Mask((NAME,))(text) == masked


def test_words_stay_as_many_and_texts_in_json_are_replaced() -> None:
    mask = Mask((NAME,))
    assert mask.words(("call", "+49", "30", "1234567", "now")) == ("call", *["[PHONE]"] * 3, "now")
    assert mask.inside({"a": [MAIL, 4111], "b": Beginning(NAME)}) == {
        "a": ["[EMAIL]", 4111],
        "b": "[NAME]",
    }
    assert isinstance(mask.inside(Beginning(NAME)), Beginning)
    assert {kind: n for kind, n in mask.counts.items() if n} == {"phone": 1, "email": 1, "name": 2}


PERSON = f"{NAME} {MAIL} {PHONE}"
LOADED = {
    "text": (data.load_text, data.TextData(path="f", tokenizer="char", context=7, batch_size=2),
             [f"words {PERSON} words"] * 20),
    "bpe": (data.load_text, data.TextData(path="f", vocab_size=400, context=7, batch_size=2),
            [f"words {PERSON} words"] * 20),
    "words": (data.load_words, data.WordData(path="f", minimum_count=1, window=1, batch_size=8),
              [f"some words {PERSON} more words"] * 20),
    "labelled": (data.load_labelled_text,
                 data.LabelledTextData(path="f", tokenizer="word", length=20, batch_size=4),
                 [f"{'ab'[n % 2]}\tsay {n} {PERSON}" for n in range(40)]),
    "pairs": (data.load_pairs, data.PairData(path="f", batch_size=4),
              [f"say {n} {PERSON}\tto {PERSON}" for n in range(40)]),
    "tagged": (data.load_tagged, data.TaggedData(path="f", tokenizer="word", batch_size=4),
               ["\n".join(f"{w} O" for w in PERSON.split()) + "\n" for _ in range(40)]),
    "dialogues": (data.load_dialogues,
                  data.TextData("dialogues", path="f", tokenizer="byte", context=250, batch_size=4),
                  [json.dumps({"messages": [{"role": "user", "content": f"\n{PERSON}"},
                                            {"role": "assistant", "content": f"to\n{MAIL} {n}"}]})
                   for n in range(40)]),
    "table": (data.load_table, data.TableData("csv", path="f", batch_size=4),
              ["x,who,y", *(f'{n},"{PERSON}",{"ab"[n % 2]}' for n in range(40))]),
    "ratings": (data.load_ratings,
                data.RatingData(path="f", user="u", item="i", rating="r", title="t", batch_size=4),
                ["u,i,r,t", *(f"u{n % 5},i{n % 7},{n % 3},{PERSON}" for n in range(40))]),
}  # fmt: skip


@pytest.mark.parametrize("kind", LOADED)
def test_nothing_that_a_run_keeps_has_what_was_replaced(kind, write, monkeypatch, tmp_path) -> None:
    monkeypatch.chdir(tmp_path)
    load, options, lines = LOADED[kind]
    write("\n".join(lines) + "\n", "f")
    write(f"{NAME}\n", "names")

    def kept(options) -> str:
        loaded = load(options).data
        inputs = [list(each) for each in loaded.inputs.values()]
        return f"{loaded.assets} {inputs}"

    assert any(secret in kept(options) for secret in SECRETS) or kind == "dialogues"
    masked = replace(options, mask=True, mask_names="names")
    assert not any(secret in kept(masked) for secret in SECRETS)
    assert noted(load(masked).data.assets)["masked"]["email"] > 0
    assert noted(load(options).data.assets) == {}


def test_a_large_table_is_masked_as_a_small_one(write, monkeypatch, tmp_path) -> None:
    from bigmodel.data.tables.large import blocks

    monkeypatch.chdir(tmp_path)
    load, options, lines = LOADED["table"]
    write("\n".join(lines) + "\n", "f")
    write(f"{NAME}\n", "names")
    masked = replace(options, mask=True, mask_names="names", cache="cache")
    small = load(masked).data
    monkeypatch.setattr(blocks, "LARGE", -1)
    for _ in range(2):
        large = load(masked).data
        assert large.assets == small.assets
        np.testing.assert_equal(large.train(0, 3), small.train(0, 3))
    kept = b"".join(path.read_bytes() for path in Path("cache").rglob("*") if path.is_file())
    assert kept
    assert not any(secret.encode() in kept for secret in SECRETS)


def test_a_message_does_not_quote_what_is_replaced(write, refused) -> None:
    path = write(["x,y", *(f"{n},{n % 3}" for n in range(30)), f"{MAIL},1"], "f")
    with refused(r"line 32, column 'x': '\[EMAIL\]' is not a finite number"):
        data.load_table(data.TableData("csv", path=path, mask=True))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"mask_names": "x"}, "--data.mask-names is for --data.mask"),
        ({"mask": True, "mask_names": "/absent"}, "--data.mask-names /absent is no file"),
    ],
)
def test_names_that_cannot_be_used_are_told(options, message, refused) -> None:
    with refused(message):
        Personal(**options).masking()


def test_a_name_of_one_letter_is_refused_by_its_line_alone(write, refused) -> None:
    with refused("line 2 is one character"):
        Personal(mask=True, mask_names=write("Ada\nQ\n")).masking()


def test_what_a_masked_run_is_asked_is_masked_too() -> None:
    seen = []
    asked = Predictor(
        lambda inputs: seen.extend(inputs) or {}, lambda _, b: b, list, "text", "", ""
    )
    options, assets = Personal(mask=True), {MASKED: b"{}"}
    masked_inputs(asked, options, assets).encode([MAIL, {"who": MAIL, "n": 1}])
    masked_inputs(asked, options, {}).encode([MAIL])
    assert seen == ["[EMAIL]", {"who": "[EMAIL]", "n": 1}, MAIL]
