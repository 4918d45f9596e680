"""Transformations of a model that make it smaller: fewer bits, fewer parameters."""
