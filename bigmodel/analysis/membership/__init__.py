"""Whether the outputs of a run tell what it was trained on."""
