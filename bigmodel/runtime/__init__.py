"""The loop and everything impure around it: files, signals, progress, checkpoints."""
