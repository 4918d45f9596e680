"""Repeats a recorded run and compares the results."""
