import pydoc_data.topics

import pytest

from bigmodel.data.texts.labelled_text import LabelledTextData, load_labelled_text
from bigmodel.data.texts.labelled_topics import SHORTEST, TOPICS, labelled_paragraphs
from bigmodel.experiment import InputError


def test_every_topic_has_paragraphs_of_its_own_text_on_one_line():
    paragraphs = labelled_paragraphs()
    assert {topic for topic, _ in paragraphs} == set(TOPICS)
    for topic, text in paragraphs:
        assert "\n" not in text
        assert len(text) >= SHORTEST
        assert text in " ".join(pydoc_data.topics.topics[topic].split())


def test_no_paragraph_is_there_twice():
    texts = [text for _, text in labelled_paragraphs()]
    assert len(texts) == len(set(texts)) > 500


def test_topics_are_read_where_no_path_is_given_and_are_asked_for():
    texts = load_labelled_text(LabelledTextData("topics", length=8, batch_size=16))
    assert texts.names == TOPICS
    with pytest.raises(InputError, match=r"need --data.path"):
        load_labelled_text(LabelledTextData())
