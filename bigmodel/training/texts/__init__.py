"""Training of networks that translate texts or place words, and their metrics."""
