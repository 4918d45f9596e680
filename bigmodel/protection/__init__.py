"""Folders that are signed, so that a change is noticed, or encrypted, so that few can read them."""
