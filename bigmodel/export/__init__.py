"""Trained runs as the files of other runtimes."""
