"""Paragraphs of Python's help texts, labelled with their topic: real text on every machine."""

from __future__ import annotations

import pydoc_data.topics
import re

# None of these is a part of another one.
TOPICS = (
    "compound",
    "debugger",
    "execmodel",
    "formatstrings",
    "import",
    "specialnames",
    "string-methods",
    "typesmapping",
)
SHORTEST = 80


def labelled_paragraphs() -> list[tuple[str, str]]:
    """Topics and paragraphs of at least eighty characters, each on one line and there once."""
    topic_of: dict[str, str] = {}
    for topic in TOPICS:
        for part in re.split(r"\n\s*\n", pydoc_data.topics.topics[topic]):
            paragraph = " ".join(part.split())
            if len(paragraph) >= SHORTEST:
                topic_of.setdefault(paragraph, topic)
    return [(topic, paragraph) for paragraph, topic in topic_of.items()]
