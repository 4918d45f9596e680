"""Short clips: a few frames each."""
