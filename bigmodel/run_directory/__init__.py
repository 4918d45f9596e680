"""The files of a run: its directory, history, manifest and checkpoints."""
