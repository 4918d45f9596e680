"""Real data to numpy arrays to ``batch(seed, step)``. Imports no JAX."""
