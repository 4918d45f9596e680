"""What is asked about experiments beside training them: whether and how fast they would run."""
