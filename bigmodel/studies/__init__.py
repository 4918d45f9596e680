"""Runs beside each other: ablations, their statistics and reports, comparisons and replays."""
