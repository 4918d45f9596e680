"""The statistics of a study: intervals, tests and their corrections."""
