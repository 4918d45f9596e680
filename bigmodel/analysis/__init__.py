"""What is asked of a run before it is used: why it answers so, whom it serves less, what it tells."""
