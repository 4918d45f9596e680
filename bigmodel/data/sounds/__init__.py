"""Recordings, what is said or heard in them, and their spectra."""
