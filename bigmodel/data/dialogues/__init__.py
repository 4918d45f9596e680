"""Dialogues: messages of several roles, and the template that makes a text of them."""
