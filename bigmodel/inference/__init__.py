"""Trained runs as values: loaded, asked, evaluated on other data."""
