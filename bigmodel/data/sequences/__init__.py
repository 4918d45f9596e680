"""Sequences and series: from files or packages to steps of numbers."""
