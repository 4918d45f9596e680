"""Trained runs of fewer bits, or of fewer channels."""
