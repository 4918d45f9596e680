"""Attention, and what stacks of its layers are made of."""
