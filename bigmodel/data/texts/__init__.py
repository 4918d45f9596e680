"""Texts: from files or packages to tokens, labels and pairs."""
