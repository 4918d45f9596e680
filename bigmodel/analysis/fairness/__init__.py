"""How well a run serves the groups of its examples."""
