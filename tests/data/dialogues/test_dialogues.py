"""Dialogues as windows of which the answers are learned, and as questions."""

import json

import numpy as np
import pytest

from bigmodel.data.dialogues.chat import Chat, chat_of, read_chat
from bigmodel.data.dialogues.dialogues import load_dialogues
from bigmodel.data.texts.reading import PromptReader
from bigmodel.data.texts.text import TextData, load_text
from bigmodel.experiment import InputError
from bigmodel.predictor import Beginning


def said(*contents: str, system: str = "") -> dict:
    """A dialogue that a user begins."""
    roles = ("user", "assistant") * len(contents)
    messages = [{"role": r, "content": c} for r, c in zip(roles, contents, strict=False)]
    return {"messages": [{"role": "system", "content": system}] * bool(system) + messages}


DIALOGUES = [said(f"What is {n} and {n}?", f"It is {2 * n}.", "Sure?", f"Yes, {2 * n}.") for n in
             range(40)]  # fmt: skip
TEMPLATE = """{{ bos_token }}{% for m in messages %}{% if m.role == 'user' %}Q: {{ m.content }}
{% else %}A: {{ m.content }}{{ eos_token }}
{% endif %}{% endfor %}{% if add_generation_prompt %}A: {% endif %}"""
TOKENS = {"bos_token": "^", "eos_token": "$"}


@pytest.fixture
def options(write):
    """Writes dialogues, and gives the options that read them."""

    def options(dialogues=DIALOGUES, **chosen):
        path = write(map(json.dumps, dialogues), "dialogues.jsonl")
        given = {"path": path, "batch_size": 4, "tokenizer": "byte", "context": 256}
        return TextData("dialogues", **given | chosen)

    return options


def learned(batch, tokenizer):
    """The texts of each row whose tokens have a weight."""
    return [
        tokenizer.decode(targets[weight > 0])
        for targets, weight in zip(batch["targets"], batch["weight"], strict=True)
        if weight.any()
    ]


@pytest.mark.parametrize("chat", [None, Chat(TEMPLATE, TOKENS)], ids=["chatml", "template"])
def test_answers_and_their_ends_are_learned_and_nothing_else(options, chat):
    if chat:
        pytest.importorskip("jinja2")
    loaded = load_dialogues(options(), chat=chat)
    end = "$\n" if chat else "<|im_end|>\n"
    expected = {f"It is {2 * n}.{end}Yes, {2 * n}.{end}" for n in range(40)}
    data = loaded.data
    found = [
        text
        for split in data.splits.values()
        for b in split
        for text in learned(b, loaded.tokenizer)
    ]
    assert len(found) == len(set(found)) == 8
    for step in range(data.steps_per_epoch):
        found += learned(data.train(0, step), loaded.tokenizer)
    assert set(found) == expected
    batch = data.splits["test"][0]
    for row in range(4):
        length = np.flatnonzero(batch["weight"][row]).max() + 1
        np.testing.assert_array_equal(
            batch["tokens"][row, 1:length], batch["targets"][row, : length - 1]
        )
    opened = loaded.tokenizer.decode(batch["tokens"][0])
    assert opened.startswith("^Q: What" if chat else "<|im_start|>user\nWhat")


def test_the_text_that_asks_is_the_beginning_of_the_text_that_answers():
    pytest.importorskip("jinja2")
    messages = DIALOGUES[1]["messages"]
    for chat in (Chat(), Chat(TEMPLATE, TOKENS)):
        parts = chat.turns(messages)
        assert [learned for _, learned in parts] == [False, True] * 2
        assert "".join(text for text, _ in parts) == chat.text(messages)
        assert chat.text(messages[:3], asking=True) == "".join(text for text, _ in parts[:3])
        assert read_chat(chat.dump()) == chat_of(chat.facts) == chat
    assert (Chat().end, Chat(TEMPLATE, TOKENS).end) == ("<|im_end|>", "$")
    assert read_chat({}) is None


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("{", "line 4: it is no JSON"),
        ('{"text": "a"}', "line 4: it is no dialogue"),
        ("[1]", "line 4: it is no dialogue"),
        ('{"messages": []}', "line 4: it is no list of messages"),
        ('{"messages": [{"role": "user"}]}', "line 4: it has a message without role and content"),
        ('{"messages": [{"role": "user", "content": 1}]}', "line 4: it is no text"),
        ('{"messages": [{"role": "user", "content": "a"}]}', "line 4: it has no answer"),
        ('{"messages": [{"role": "assistant", "content": "a"}]}', "line 4: it has no answer"),
    ],
)
def test_a_line_that_is_no_dialogue_is_refused(line, message, write, refused):
    lines = [*map(json.dumps, DIALOGUES[:3]), line]
    with refused(message):
        load_dialogues(TextData("dialogues", path=write(lines), tokenizer="byte"))


def test_a_template_that_rewrites_what_was_said_before_is_refused(options, refused):
    pytest.importorskip("jinja2")
    template = "{{ messages | length }}{% for m in messages %}{{ m.content }}{% endfor %}"
    with refused("line 1: its chat template does not put an answer behind what asks for it"):
        load_dialogues(options(), chat=Chat(template))


def test_dialogues_without_an_answer_in_the_window_are_left_out(options, refused, capsys):
    long = said("x" * 300, "too late")
    few = [*DIALOGUES[:10], long]
    loaded = load_dialogues(options(few, test=0.0, validation=0.0, batch_size=2))
    assert loaded.data.steps_per_epoch == 5
    assert "1 of 11 dialogues of the train part have no answer" in capsys.readouterr().err
    with refused("use a larger --data.context"):
        load_dialogues(options([long] * 3, test=0.0, validation=0.0, batch_size=1))


@pytest.mark.parametrize(
    ("chosen", "message"),
    [({"path": ""}, "needs --data.path"), ({"dialogues": DIALOGUES[:2]}, r"has 2 dialogue\(s\)")],
)
def test_too_little_to_read_is_refused(options, chosen, message, refused):
    with refused(message):
        load_dialogues(options(**chosen))


def test_dialogues_are_no_text(options, refused):
    with refused("--data.name dialogues is for gpt.py"):
        load_text(options())


def test_a_trained_run_is_evaluated_on_other_dialogues_as_it_was_trained(options):
    loaded = load_dialogues(options(tokenizer="bpe", vocab_size=300))
    again = load_dialogues(options(DIALOGUES[:2]), loaded.data.assets)
    assert list(again.data.splits) == ["test"]
    assert again.tokenizer.dump() == loaded.tokenizer.dump()
    (batch,) = again.data.splits["test"]
    assert learned(batch, again.tokenizer)[1] == "It is 2.<|im_end|>\nYes, 2.<|im_end|>\n"


def test_a_question_is_a_text_messages_or_a_line_of_json(options):
    loaded = load_dialogues(options())
    reader = PromptReader(loaded.tokenizer, 256, 0, Chat().asked)
    text, messages = "What is 1 and 1?", DIALOGUES[1]["messages"][:1]
    asked = {"messages": messages}
    one, *others = (
        reader.encode([each])
        for each in (text, asked, json.dumps(asked), {"messages": messages, "seed": 0},
                     {"prompt": Chat().text(messages, asking=True)})
    )  # fmt: skip
    for other in others:
        np.testing.assert_equal(one, other)
    ids = np.concatenate([one["tokens"], one["rest"]], axis=1)[0, : one["length"][0]]
    assert (
        loaded.tokenizer.decode(ids)
        == f"<|im_start|>user\n{text}<|im_end|>\n<|im_start|>assistant\n"
    )
    inputs = loaded.data.inputs["test"]
    assert [m["role"] for m in inputs[0]["messages"]] == ["user", "assistant", "user"]
    cut = reader.encode([Beginning("long " * 100)])
    ids = np.concatenate([cut["tokens"], cut["rest"]], axis=1)[0, :256]
    assert loaded.tokenizer.decode(ids).endswith("long <|im_end|>\n<|im_start|>assistant\n")
    for wrong in ({"messages": []}, {"messages": messages, "x": 1}, [1, 2], [], '{"messages": 1}'):
        with pytest.raises(InputError):
            reader.encode([wrong])
