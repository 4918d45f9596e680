"""Transformations of a model that let it begin with what was learned, and train a part of it."""
