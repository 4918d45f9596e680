"""Layers that networks of all kinds are made of."""
