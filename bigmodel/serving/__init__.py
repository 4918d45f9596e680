"""A trained run over HTTP: requests of the same moment in one batch, and a page to try it."""
