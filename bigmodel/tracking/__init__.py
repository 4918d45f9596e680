"""What is reported of a run and where it is logged."""
