"""bigmodel: a run is a pure function of experiment and seed."""
