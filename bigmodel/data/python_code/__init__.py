"""Data that is made of the Python source of installed packages, which is read and not imported."""
