"""Training whose result says little of any one example: differential privacy."""
