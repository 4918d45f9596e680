"""Texts that are larger than memory: prepared once as token files, read window by window."""
