"""Of a trained run: why it answers what it does, whom it serves less, what it gives away."""
